"""Calculator: the ASE calculator, logs, pictures, files."""
