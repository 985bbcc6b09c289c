/* include/tessera.h: the public API. */
