"""
Figures by Matplotlib, as SVG or PNG: the same data always make the same bytes.

Only here is Matplotlib imported (30 MB, half a second): for a process that draws and ends.
"""
