// What the GPU forms of matmul and convolution share: a work-group's tile of a product.
//
// A group makes TILE_ROWS x TILE_COLUMNS numbers; each of its items makes ITEM_ROWS x ITEM_COLUMNS of them in
// registers. Along the sum, slices of TILE_DEPTH are staged in local memory, a[k][m] and b[k][n], as floats, in two
// buffers: while one is multiplied the next slice is on its way from global memory to registers, so a slice costs one
// barrier.

#ifndef TILE_ROWS
#define TILE_ROWS 64  // rows a group makes
#endif
#ifndef TILE_COLUMNS
#define TILE_COLUMNS 64  // columns a group makes
#endif
#ifndef TILE_DEPTH
#define TILE_DEPTH 16  // numbers of the sum staged at a time
#endif
#ifndef ITEM_ROWS
#define ITEM_ROWS 4  // rows an item makes: a multiple of 4
#endif
#ifndef ITEM_COLUMNS
#define ITEM_COLUMNS 4  // columns an item makes: a multiple of 4
#endif

#define GROUP_COLUMNS (TILE_COLUMNS / ITEM_COLUMNS)
#define GROUP_SIZE (TILE_ROWS / ITEM_ROWS * GROUP_COLUMNS)  // items in a group
// A row of local memory is four numbers longer than the tile, so that the stores of a column fall into different banks.
#define PITCH_A (TILE_ROWS + 4)
#define PITCH_B (TILE_COLUMNS + 4)
// Four numbers at a time: how many each item stages of a slice.
#define QUADS_A (TILE_ROWS * TILE_DEPTH / 4 / GROUP_SIZE)
#define QUADS_B (TILE_COLUMNS * TILE_DEPTH / 4 / GROUP_SIZE)

// Numbers first ... first + 3 of a row of `count`; what lies beyond is zero. `is_wide` says that quads are aligned.
INLINED float4 read_quad(__global const storage_t *row, int first, int count, int is_wide) {
  if (is_wide && first + 4 <= count) return LOAD4(row, first);
  float4 quad = (float4)(0.0f);
  if (first < count) quad.s0 = LOAD(row, first);
  if (first + 1 < count) quad.s1 = LOAD(row, first + 1);
  if (first + 2 < count) quad.s2 = LOAD(row, first + 2);
  if (first + 3 < count) quad.s3 = LOAD(row, first + 3);
  return quad;
}

// Where quad `quad` of an item lies in a slice whose rows run along the sum (k varies first, as in x) ...
#define ALONG_K_ROW(quad) ((get_local_id(0) + (quad) * GROUP_SIZE) / (TILE_DEPTH / 4))
#define ALONG_K_FIRST(quad) ((get_local_id(0) + (quad) * GROUP_SIZE) % (TILE_DEPTH / 4) * 4)
// ... and in one whose rows run across it (as in weights [sum][columns]).
#define ACROSS_K_ROW(quad) ((get_local_id(0) + (quad) * GROUP_SIZE) / (TILE_COLUMNS / 4))
#define ACROSS_K_FIRST(quad) ((get_local_id(0) + (quad) * GROUP_SIZE) % (TILE_COLUMNS / 4) * 4)

INLINED void stage_along_k(__local float *slice, int pitch, int row, int first, float4 quad) {
  slice[first * pitch + row] = quad.s0;
  slice[(first + 1) * pitch + row] = quad.s1;
  slice[(first + 2) * pitch + row] = quad.s2;
  slice[(first + 3) * pitch + row] = quad.s3;
}

// An item's rows and columns come in quads, spread over the tile so that neighbouring items read neighbouring quads.
#define ROW_IN_TILE(r) ((r) / 4 * (TILE_ROWS / ITEM_ROWS * 4) + get_local_id(0) / GROUP_COLUMNS * 4 + (r) % 4)
#define COLUMN_IN_TILE(n) ((n) / 4 * (GROUP_COLUMNS * 4) + get_local_id(0) % GROUP_COLUMNS * 4 + (n) % 4)

// sums[r][n / 4] += a[k][r] b[k][n] over one slice.
INLINED void multiply_slice(float4 sums[ITEM_ROWS][ITEM_COLUMNS / 4], __local const float *a, __local const float *b) {
  UNROLL_BY(2) for (int k = 0; k < TILE_DEPTH; ++k) {
    float4 rows[ITEM_ROWS / 4], columns[ITEM_COLUMNS / 4];
    EACH (r, ITEM_ROWS / 4) rows[r] = *(__local const float4 *)(a + k * PITCH_A + ROW_IN_TILE(4 * r));
    EACH (n, ITEM_COLUMNS / 4) columns[n] = *(__local const float4 *)(b + k * PITCH_B + COLUMN_IN_TILE(4 * n));
    EACH (r, ITEM_ROWS / 4)
      EACH (n, ITEM_COLUMNS / 4) {
        sums[4 * r][n] = fma((float4)(rows[r].s0), columns[n], sums[4 * r][n]);
        sums[4 * r + 1][n] = fma((float4)(rows[r].s1), columns[n], sums[4 * r + 1][n]);
        sums[4 * r + 2][n] = fma((float4)(rows[r].s2), columns[n], sums[4 * r + 2][n]);
        sums[4 * r + 3][n] = fma((float4)(rows[r].s3), columns[n], sums[4 * r + 3][n]);
      }
  }
}

// Four neighbouring numbers of the result: y = activation(sum + bias) + residual; bias and residual may be absent.
// `is_wide` says that quads are aligned. What does not come in quads is seldom, and left a loop: unrolled, it would be
// most of the kernel's code.
INLINED void write_quad(__global storage_t *y, float4 sum, __global const float *bias,
                        __global const storage_t *residual, int column, int count, int is_wide, int has_bias,
                        int has_residual) {
  if (is_wide && column + 4 <= count) {
    float4 value = has_bias ? sum + *(__global const float4 *)(bias + column) : sum;
    value = ACTIVATE(value);
    if (has_residual) value += LOAD4(residual, column);
    STORE4(y, column, value);
  } else {
    UNROLL_BY(1) for (int n = 0; n < min(4, count - column); ++n) {
      float value = n < 2 ? (n < 1 ? sum.s0 : sum.s1) : (n < 3 ? sum.s2 : sum.s3);
      if (has_bias) value += bias[column + n];
      value = ACTIVATE(value);
      if (has_residual) value += LOAD(residual, column + n);
      STORE(y, column + n, value);
    }
  }
}
