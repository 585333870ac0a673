"""Methods that tell all classes apart: the tables of EAN and HSNet beside their papers' own."""
