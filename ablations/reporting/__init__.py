"""From records to what people read of a sweep."""
