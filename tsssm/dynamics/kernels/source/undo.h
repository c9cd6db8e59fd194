/* Takes back what one inclusion of the kernels defined. */
#undef NAME
#undef R
#undef RINT
#undef DOUBLE
#undef W
#undef V
#undef I
#undef LANES
#undef TWO
#undef load
#undef store
#undef all
#undef EXPONENT
#undef ROUND
#undef LEAST
#undef MOST
