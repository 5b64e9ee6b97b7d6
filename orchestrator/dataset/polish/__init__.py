"""Repairs of chats: `repairs` changes one chat, `polisher` a whole dataset."""
