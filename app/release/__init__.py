"""What is known of one release before it is rolled out, and who has signed it off."""
