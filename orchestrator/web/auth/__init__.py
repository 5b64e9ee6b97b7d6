"""Authentication, sessions, CSRF protection and the login throttle."""
