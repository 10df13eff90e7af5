"""The arithmetic's definition: requantization and tables, in NumPy float32."""
