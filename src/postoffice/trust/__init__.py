"""What can be said of a letter before it is believed. It knows no door, no settings file and no terminal."""
