"""`related`: how many related rows a profile has, or a number over them."""
