"""Second derivatives of the free energy of a result: force constants, elasticity, response to electric fields."""
