"""A newly prepared revision takes the place of the old one while its worker serves."""
