// Includes the header that TILE names once for each instruction set of the machine's kind, with
//
//   NAME(x)  the name with the set's suffix
//   TARGET   the function attribute that allows the set
//   WIDTH    floats in a vector register
//
// and makes INSTRUCTION_SETS(SET) of them: SET(suffix, width), the plainest first, as `chosen_set` counts.

#define NAME(x) x##_any
#define TARGET
#define WIDTH 4
#include TILE
#undef NAME
#undef TARGET
#undef WIDTH

#ifdef __x86_64__
#define NAME(x) x##_v3
#define TARGET __attribute__((target("arch=x86-64-v3")))
#define WIDTH 8
#include TILE
#undef NAME
#undef TARGET
#undef WIDTH

#define NAME(x) x##_v4
#define TARGET __attribute__((target("arch=x86-64-v4")))
#define WIDTH 16
#include TILE
#undef NAME
#undef TARGET
#undef WIDTH

#define INSTRUCTION_SETS(SET) {SET(any, 4), SET(v3, 8), SET(v4, 16)}
#else
#define INSTRUCTION_SETS(SET) {SET(any, 4)}
#endif
