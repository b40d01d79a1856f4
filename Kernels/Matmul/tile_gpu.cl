// What the GPU forms of matmul and convolution share: a work-group's tile of a product (storage.cl comes first).
//
// A group makes TILE_M x TILE_N numbers; each of its items makes ITEM_M x ITEM_N of them in registers. Along the sum,
// slices of TILE_K are staged in local memory, a[k][m] and b[k][n], as floats, in two buffers: while one is multiplied
// the next slice is on its way from global memory to registers, so a slice costs one barrier.

#ifndef TILE_M
#define TILE_M 64  // rows a group makes
#endif
#ifndef TILE_N
#define TILE_N 64  // columns a group makes
#endif
#ifndef TILE_K
#define TILE_K 16  // numbers of the sum staged at a time
#endif
#ifndef ITEM_M
#define ITEM_M 4  // rows an item makes: a multiple of 4
#endif
#ifndef ITEM_N
#define ITEM_N 4  // columns an item makes: a multiple of 4
#endif

#define GROUP_N (TILE_N / ITEM_N)
#define GROUP (TILE_M / ITEM_M * GROUP_N)  // items in a group
#define ONE_GROUP __attribute__((reqd_work_group_size(GROUP, 1, 1)))
// A row of local memory is four numbers longer than the tile, so that the stores of a column fall into different banks.
#define PITCH_M (TILE_M + 4)
#define PITCH_N (TILE_N + 4)
// Four numbers at a time: how many each item stages of a slice.
#define QUADS_M (TILE_M * TILE_K / 4 / GROUP)
#define QUADS_N (TILE_N * TILE_K / 4 / GROUP)
// A loop over registers: unrolled, since a register has no address.
#define EACH(i, count) __attribute__((opencl_unroll_hint)) for (int i = 0; i < (count); ++i)
// A function that is a call costs a GPU its registers: everything becomes part of its kernel.
#define FOLDED static inline __attribute__((always_inline))
#define UNROLL_BY(count) __attribute__((opencl_unroll_hint(count)))

// Numbers first ... first + 3 of a row of `count`; what lies beyond is zero. `wide` says that quads are aligned.
FOLDED float4 read_quad(__global const storage_t *row, const int first, const int count, const int wide) {
  if (wide && first + 4 <= count) return LOAD4(row, first);
  float4 quad = (float4)(0.0f);
  if (first < count) quad.s0 = LOAD(row, first);
  if (first + 1 < count) quad.s1 = LOAD(row, first + 1);
  if (first + 2 < count) quad.s2 = LOAD(row, first + 2);
  if (first + 3 < count) quad.s3 = LOAD(row, first + 3);
  return quad;
}

// Where quad `quad` of an item lies in a slice whose rows run along the sum (k varies first, as in x) ...
#define ALONG_K_ROW(quad) ((get_local_id(0) + (quad) * GROUP) / (TILE_K / 4))
#define ALONG_K_FIRST(quad) ((get_local_id(0) + (quad) * GROUP) % (TILE_K / 4) * 4)
// ... and in one whose rows run across it (as in weights [sum][columns]).
#define ACROSS_K_ROW(quad) ((get_local_id(0) + (quad) * GROUP) / (TILE_N / 4))
#define ACROSS_K_FIRST(quad) ((get_local_id(0) + (quad) * GROUP) % (TILE_N / 4) * 4)

FOLDED void store_along_k(__local float *slice, const int pitch, const int row, const int first, const float4 quad) {
  slice[first * pitch + row] = quad.s0;
  slice[(first + 1) * pitch + row] = quad.s1;
  slice[(first + 2) * pitch + row] = quad.s2;
  slice[(first + 3) * pitch + row] = quad.s3;
}

// An item's rows and columns come in quads, spread over the tile so that neighbouring items read neighbouring quads.
#define ITEM_ROW(r) ((r) / 4 * (TILE_M / ITEM_M * 4) + get_local_id(0) / GROUP_N * 4 + (r) % 4)
#define ITEM_COLUMN(n) ((n) / 4 * (GROUP_N * 4) + get_local_id(0) % GROUP_N * 4 + (n) % 4)

// sums[r][n / 4] += a[k][r] b[k][n] over one slice.
FOLDED void multiply_slice(float4 sums[ITEM_M][ITEM_N / 4], __local const float *a, __local const float *b) {
  UNROLL_BY(2) for (int k = 0; k < TILE_K; ++k) {
    float4 rows[ITEM_M / 4], columns[ITEM_N / 4];
    EACH (r, ITEM_M / 4) rows[r] = *(__local const float4 *)(a + k * PITCH_M + ITEM_ROW(4 * r));
    EACH (n, ITEM_N / 4) columns[n] = *(__local const float4 *)(b + k * PITCH_N + ITEM_COLUMN(4 * n));
    EACH (r, ITEM_M / 4)
      EACH (n, ITEM_N / 4) {
        sums[4 * r][n] = fma((float4)(rows[r].s0), columns[n], sums[4 * r][n]);
        sums[4 * r + 1][n] = fma((float4)(rows[r].s1), columns[n], sums[4 * r + 1][n]);
        sums[4 * r + 2][n] = fma((float4)(rows[r].s2), columns[n], sums[4 * r + 2][n]);
        sums[4 * r + 3][n] = fma((float4)(rows[r].s3), columns[n], sums[4 * r + 3][n]);
      }
  }
}

// Four neighbouring numbers of the result: y = activation(sum + bias) + addend; bias and addend may be absent. `wide`
// says that quads are aligned. What does not come in quads is seldom, and left a loop: unrolled, it would be most of
// the kernel's code.
FOLDED void write_quad(__global storage_t *y, const float4 sum, __global const float *bias, const int hasBias,
                       __global const storage_t *addend, const int hasAddend, const int column, const int count,
                       const int wide) {
  if (wide && column + 4 <= count) {
    float4 value = hasBias ? sum + *(__global const float4 *)(bias + column) : sum;
    value = ACTIVATE(value);
    if (hasAddend) value += LOAD4(addend, column);
    STORE4(y, column, value);
  } else {
    UNROLL_BY(1) for (int n = 0; n < min(4, count - column); ++n) {
      float value = n < 2 ? (n < 1 ? sum.s0 : sum.s1) : (n < 3 ? sum.s2 : sum.s3);
      if (hasBias) value += bias[column + n];
      value = ACTIVATE(value);
      if (hasAddend) value += LOAD(addend, column + n);
      STORE(y, column + n, value);
    }
  }
}
