"""What graftwork does, a module for each verb; ``train`` tells the whole story on one page."""
