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

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define floatv JOIN(float, LANES)
#define intv JOIN(int, LANES)
#define vloadv JOIN(vload, LANES)
#define vstorev JOIN(vstore, LANES)

// One register tile over `depth` numbers; rows of a, b and c are a_pitch, b_pitch and c_pitch apart. c is read first
// where `accumulate` says so. A_OF_R_K is the number of a in row r at k. fma, not mad: some compilers turn mad into two
// instructions.
#define TILE_PRODUCT(A_OF_R_K)                                                 \
  {                                                                            \
    floatv low[TILE_ROWS], high[TILE_ROWS];                                    \
    EACH (r, TILE_ROWS) {                                                      \
      low[r] = accumulate ? vloadv(0, c + r * c_pitch) : (floatv)(0.0f);       \
      high[r] = accumulate ? vloadv(1, c + r * c_pitch) : (floatv)(0.0f);      \
    }                                                                          \
    for (int k = 0; k < depth; ++k) {                                          \
      floatv b0 = vloadv(0, b + k * b_pitch), b1 = vloadv(1, b + k * b_pitch); \
      EACH (r, TILE_ROWS) {                                                    \
        floatv x = (floatv)(A_OF_R_K);                                         \
        low[r] = fma(x, b0, low[r]);                                           \
        high[r] = fma(x, b1, high[r]);                                         \
      }                                                                        \
    }                                                                          \
    EACH (r, TILE_ROWS) {                                                      \
      vstorev(low[r], 0, c + r * c_pitch);                                     \
      vstorev(high[r], 1, c + r * c_pitch);                                    \
    }                                                                          \
  }

static inline void tile_product(float *c, int c_pitch, const float *a, int a_pitch, const float *b, int b_pitch,
                                int depth, int accumulate) {
  TILE_PRODUCT(a[r * a_pitch + k]);
}

static inline void tile_product_global(float *c, int c_pitch, const float *a, int a_pitch, __global const float *b,
                                       int b_pitch, int depth, int accumulate) {
  TILE_PRODUCT(a[r * a_pitch + k]);
}

// `count` stored numbers as floats, from any alignment.
static inline void read_row(float *row, __global const storage_t *source, int count) {
  int k = 0;
  for (; k + 8 <= count; k += 8) vstore8(unpack8(vload8(0, source + k)), 0, row + k);
  for (; k < count; ++k) row[k] = LOAD(source, k);
}

static inline void zero_row(float *row, int count) {
  for (int k = 0; k < count; ++k) row[k] = 0.0f;
}
