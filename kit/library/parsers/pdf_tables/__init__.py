"""Tables of a PDF page: its lines, their grids, the cells of these, and the names of columns."""
