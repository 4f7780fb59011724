"""The pages of companions in the console for people in a browser."""
