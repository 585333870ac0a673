"""SNA's part of the report."""
