"""Human rating: blind comparisons of systems on a page, and what follows from the votes."""
