"""Who is let in, what strangers may cost, and the security list point by point."""
