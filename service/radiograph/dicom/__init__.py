"""What each file format holds and how its pixels become grey values."""
