// What the CPU forms of matmul, convolution and attention share: a tile of a product kept in vector registers.
//
//     c[r][n] += sum over k of a[r][k] b[k][n]        r < TILE_ROWS, n < TILE_COLUMNS
//
// `a` is row-major, read one number at a time and spread over a vector; `b` is a panel of TILE_COLUMNS neighbouring
// columns, k after k, read in whole vectors. The best tile just fills the registers: 6 rows of 2 vectors where there
// are 16 (AVX2), 12 rows of 2 where there are 32 (AVX-512). A CPU runs one work-item a group: what the items of a GPU's
// group would share in local memory, the one item keeps in arrays of its own, which stay in the core's caches.

#ifndef LANES
#define LANES 8  // floats in a vector register: 4, 8 or 16
#endif
#ifndef TILE_ROWS
#define TILE_ROWS 6  // rows of the register tile
#endif
#define TILE_COLUMNS (2 * LANES)  // columns of the register tile, and of a packed panel
#define ONE_ITEM __attribute__((reqd_work_group_size(1, 1, 1)))
#define CACHE_LINE __attribute__((aligned(64)))
// A loop over registers: unrolled, since a register has no address.
#define EACH(i, count) __attribute__((opencl_unroll_hint)) for (int i = 0; i < (count); ++i)

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define floatv JOIN(float, LANES)
#define intv JOIN(int, LANES)
#define vloadv JOIN(vload, LANES)
#define vstorev JOIN(vstore, LANES)

// One register tile over `depth` numbers; rows of a, b and c are aStride, bStride and cStride apart. c is read first
// where `accumulate` says so. A_OF_R_K is the number of a in row r at k. fma, not mad: some compilers turn mad into two
// instructions.
#define TILE_PRODUCT(A_OF_R_K)                                                       \
  {                                                                                  \
    floatv low[TILE_ROWS], high[TILE_ROWS];                                          \
    EACH (r, TILE_ROWS) {                                                            \
      low[r] = accumulate ? vloadv(0, c + r * cStride) : (floatv)(0.0f);             \
      high[r] = accumulate ? vloadv(1, c + r * cStride) : (floatv)(0.0f);            \
    }                                                                                \
    for (int k = 0; k < depth; ++k) {                                                \
      const floatv b0 = vloadv(0, b + k * bStride), b1 = vloadv(1, b + k * bStride); \
      EACH (r, TILE_ROWS) {                                                          \
        const floatv x = (floatv)(A_OF_R_K);                                         \
        low[r] = fma(x, b0, low[r]);                                                 \
        high[r] = fma(x, b1, high[r]);                                               \
      }                                                                              \
    }                                                                                \
    EACH (r, TILE_ROWS) {                                                            \
      vstorev(low[r], 0, c + r * cStride);                                           \
      vstorev(high[r], 1, c + r * cStride);                                          \
    }                                                                                \
  }

static inline void tile_product(float *c, const int cStride, const float *a, const int aStride, const float *b,
                                const int bStride, const int depth, const int accumulate) {
  TILE_PRODUCT(a[r * aStride + k]);
}

static inline void tile_product_global(float *c, const int cStride, const float *a, const int aStride,
                                       __global const float *b, const int bStride, const int depth,
                                       const int accumulate) {
  TILE_PRODUCT(a[r * aStride + k]);
}

// `count` stored numbers as floats, from any alignment.
static inline void read_row(float *row, __global const storage_t *source, const int count) {
  int k = 0;
  for (; k + 8 <= count; k += 8) vstore8(unpack8(vload8(0, source + k)), 0, row + k);
  for (; k < count; ++k) row[k] = LOAD(source, k);
}

static inline void zero_row(float *row, const int count) {
  for (int k = 0; k < count; ++k) row[k] = 0.0f;
}
