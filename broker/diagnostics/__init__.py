"""What looks at a store and changes nothing unless asked."""
