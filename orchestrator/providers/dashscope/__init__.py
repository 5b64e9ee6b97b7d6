"""The dialect of DashScope, the API of Alibaba Cloud Model Studio."""
