"""Programs that come with the compiler."""
