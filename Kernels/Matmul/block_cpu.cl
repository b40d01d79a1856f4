// The loops round the register tile for matmul and convolution (CPU form; tile_cpu.cl comes first).
//
// An item makes up to BLOCK_ROWS x BLOCK_COLUMNS numbers of the result, in steps of at most BLOCK_DEPTH along the sum.
// A step's rows of x are read once, to floats, and stay in the second cache; a step of one weight panel stays in the
// first; the sums live in `c` between steps. Weights are packed in panels [outputs / TILE_COLUMNS][sum][TILE_COLUMNS],
// zeros where outputs end.

#ifndef BLOCK_ROWS
#define BLOCK_ROWS 96  // the most rows an item makes: a multiple of TILE_ROWS
#endif
#ifndef BLOCK_PANELS
#define BLOCK_PANELS 20  // the most panels an item makes
#endif
#ifndef BLOCK_DEPTH
#define BLOCK_DEPTH 320  // numbers of a row of x held at a time
#endif
#define BLOCK_COLUMNS (BLOCK_PANELS * TILE_COLUMNS)

// Asks for the cache line at a global address, where the compiler knows how: reading the next panel from memory takes
// as long as multiplying this one. Compilers by way of SPIR-V have the function but not always a word for it.
#if defined(__has_builtin) && !defined(__SPIR64__)
#if __has_builtin(__builtin_prefetch)
#define FETCH(address) __builtin_prefetch((const void *)(size_t)(address))
#endif
#endif
#ifndef FETCH
#define FETCH(address)
#endif
#define LINE ((int)(64 / sizeof(storage_t)))  // numbers in a cache line

// c += a times `depth` rows of `panels` panels that start at w and lie panel_pitch numbers apart; `unpacked` is room
// for one.
static inline void block_product(float *c, const float *a, __global const storage_t *w, size_t panel_pitch, int rows,
                                 int panels, int depth, int accumulate, float *unpacked) {
  for (int panel = 0; panel < panels; ++panel, w += panel_pitch) {
    // The lines of the next panel, or of this step's sequel in the first, spread over the tiles of this one.
    __global const storage_t *next =
        panel + 1 < panels ? w + panel_pitch : w - panel * panel_pitch + depth * TILE_COLUMNS;
    int share = depth * TILE_COLUMNS / ((rows + TILE_ROWS - 1) / TILE_ROWS) + LINE;
#if STORAGE != 32
    read_row(unpacked, w, depth * TILE_COLUMNS);
#endif
    for (int r = 0; r < rows; r += TILE_ROWS, next += share) {
      for (int line = 0; line < share; line += LINE) FETCH(next + line);
      float *target = c + r * BLOCK_COLUMNS + panel * TILE_COLUMNS;
#if STORAGE == 32
      tile_product_global(target, BLOCK_COLUMNS, a + r * BLOCK_DEPTH, BLOCK_DEPTH, w, TILE_COLUMNS, depth, accumulate);
#else
      tile_product(target, BLOCK_COLUMNS, a + r * BLOCK_DEPTH, BLOCK_DEPTH, unpacked, TILE_COLUMNS, depth, accumulate);
#endif
    }
  }
}

// The length of the steps that `total` falls into: as even as can be, none over BLOCK_DEPTH.
static inline int step_depth(int total) {
  int steps = (total + BLOCK_DEPTH - 1) / BLOCK_DEPTH;
  return (total + steps - 1) / steps;
}

// One row of the result: y = activation(c + bias) + residual over `count` columns; bias and residual may be absent.
static inline void write_block_row(__global storage_t *y, const float *c, __global const float *bias,
                                   __global const storage_t *residual, int count, int has_bias, int has_residual) {
  int n = 0;
  for (; n + 8 <= count; n += 8) {
    float8 value = vload8(0, c + n);
    if (has_bias) value += vload8(0, bias + n);
    value = ACTIVATE(value);
    if (has_residual) value += unpack8(vload8(0, residual + n));
    vstore8(pack8(value), 0, y + n);
  }
  for (; n < count; ++n) {
    float value = c[n];
    if (has_bias) value += bias[n];
    value = ACTIVATE(value);
    if (has_residual) value += LOAD(residual, n);
    STORE(y, n, value);
  }
}
