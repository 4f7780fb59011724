"""The pages of agents in the console for people in a browser."""
