// What the language has no short word for.

// A work-group has `items` items.
#define GROUP_OF(items) __attribute__((reqd_work_group_size(items, 1, 1)))
// A function that is a call costs a GPU its registers: everything becomes part of its kernel.
#define INLINED static inline __attribute__((always_inline))
// A loop over registers: unrolled, since a register has no address.
#define EACH(i, count) __attribute__((opencl_unroll_hint)) for (int i = 0; i < (count); ++i)
#define UNROLL_BY(count) __attribute__((opencl_unroll_hint(count)))
#define CACHE_LINE __attribute__((aligned(64)))
