// Scaled dot-product attention without the matrix of scores in memory, GPU form (storage.cl and attention_rows.cl come
// first).
//
//     forward:   S = scale q kᵀ    L = log sum exp S    P = exp(S - L)    y = P v
//     backward:  dS = P ∘ (dy vᵀ - D)    dq = scale dS k    dk = scale dSᵀ q    dv = Pᵀ dy
//
// q, y and their gradients are [batch, queries, heads, HEAD_DIMENSION], k, v and theirs [batch, keys, heads,
// HEAD_DIMENSION]; L and D (attention_rows.cl) are [batch, heads, queries] in float. Backward needs q, k, v, L and D,
// and makes the scores anew; its two kernels each own the rows they write, so nothing is summed by atomics.
//
// A group owns ROWS rows of one head: queries in forward and backward_query, keys in backward_key_value. SPLIT items
// share a row: each holds a slice of SLICE channels of it in registers, the row's sums too. The other side passes by in
// tiles of TILE rows in local memory, which every item reads at the same place (a broadcast). Scores are sums over the
// slices, put together in local memory. Groups: (rows / ROWS rounded up, batch heads) of ROWS SPLIT items. Exponents
// are taken to base 2. The highest score so far starts as a large negative number, not infinity: two of those have no
// difference.

#ifndef HEAD_DIMENSION
#define HEAD_DIMENSION 40  // channels of a head, 1 to 512
#endif
#ifndef ROWS
#define ROWS 64  // rows a group owns in forward
#endif
#ifndef SPLIT
#define SPLIT 1  // items that share a row in forward
#endif
#ifndef TILE
#define TILE 16  // rows of the other side in local memory in forward
#endif
#ifndef BACKWARD_ROWS
#define BACKWARD_ROWS 64  // the same three in backward
#endif
#ifndef BACKWARD_SPLIT
#define BACKWARD_SPLIT 2
#endif
#ifndef BACKWARD_TILE
#define BACKWARD_TILE 16
#endif

#define LOWEST -1e30f
#define LOG2_E 1.44269504f
#define LN_2 0.693147181f
// A loop over registers: unrolled, since a register has no address.
#define EACH(i, count) __attribute__((opencl_unroll_hint)) for (int i = 0; i < (count); ++i)
#define UNROLL_BY(count) __attribute__((opencl_unroll_hint(count)))
// A function that is a call costs a GPU its registers: everything becomes part of its kernel.
#define FOLDED static inline __attribute__((always_inline))
// A slice in quads, and a row with its slices filled up.
#define SLICE4(split) ((HEAD_DIMENSION + 4 * (split) - 1) / (4 * (split)))
#define PADDED4(split) (SLICE4(split) * (split))

// Channels 4 quad ... 4 quad + 3 of a row that starts at `row`; channels past the head, and rows that aren't there, are
// zero.
FOLDED float4 read_channels(__global const storage_t *row, const int quad, const int exists) {
  float4 channels = (float4)(0.0f);
  if (exists) {
#if HEAD_DIMENSION % 4 == 0
    if (4 * quad < HEAD_DIMENSION) channels = LOAD4(row, 4 * quad);
#else
    if (4 * quad < HEAD_DIMENSION) channels.s0 = LOAD(row, 4 * quad);
    if (4 * quad + 1 < HEAD_DIMENSION) channels.s1 = LOAD(row, 4 * quad + 1);
    if (4 * quad + 2 < HEAD_DIMENSION) channels.s2 = LOAD(row, 4 * quad + 2);
    if (4 * quad + 3 < HEAD_DIMENSION) channels.s3 = LOAD(row, 4 * quad + 3);
#endif
  }
  return channels;
}

FOLDED void write_channels(__global storage_t *row, const int quad, const float4 channels) {
#if HEAD_DIMENSION % 4 == 0
  if (4 * quad < HEAD_DIMENSION) STORE4(row, 4 * quad, channels);
#else
  if (4 * quad < HEAD_DIMENSION) STORE(row, 4 * quad, channels.s0);
  if (4 * quad + 1 < HEAD_DIMENSION) STORE(row, 4 * quad + 1, channels.s1);
  if (4 * quad + 2 < HEAD_DIMENSION) STORE(row, 4 * quad + 2, channels.s2);
  if (4 * quad + 3 < HEAD_DIMENSION) STORE(row, 4 * quad + 3, channels.s3);
#endif
}

// Rows first ... first + tile - 1 of `source`, whose rows are `pitch` numbers apart and end at `count`, to local
// memory.
FOLDED void stage(__local float4 *staged, __global const storage_t *source, const size_t pitch, const int first,
                  const int count, const int tile, const int padded4, const int items) {
  for (int i = get_local_id(0); i < tile * padded4; i += items) {
    const int row = first + i / padded4;
    staged[i] = read_channels(source + row * pitch, i % padded4, row < count);
  }
}

FOLDED float dot_slice(const float4 *slice, __local const float4 *row, const int slice4) {
  float4 sum = (float4)(0.0f);
  EACH (c, slice4) sum = fma(slice[c], row[c], sum);
  return (sum.s0 + sum.s1) + (sum.s2 + sum.s3);
}

// The score of a row with row j of the tile: the sum of what its items found over their slices.
FOLDED float score(__local const float *partial, const int row, const int j) {
  float sum = 0.0f;
  EACH (p, SPLIT) sum += partial[(p * TILE + j) * ROWS + row];
  return sum;
}

__kernel __attribute__((reqd_work_group_size(ROWS * SPLIT, 1, 1))) void attention_forward(
    __global storage_t *y, __global float *logSumExp, __global const storage_t *q, __global const storage_t *k,
    __global const storage_t *v, const int heads, const int queries, const int keys, const float scale,
    const int isCausal) {
  __local float4 keyTile[TILE * PADDED4(SPLIT)], valueTile[TILE * PADDED4(SPLIT)];
  __local float partial[SPLIT * TILE * ROWS];
  const int row = get_local_id(0) % ROWS, part = get_local_id(0) / ROWS;
  const int query = get_group_id(0) * ROWS + row;
  const int sample = get_group_id(1) / heads, head = get_group_id(1) % heads;
  const size_t pitch = (size_t)heads * HEAD_DIMENSION;
  const size_t queryStart = ((size_t)sample * queries + query) * pitch + head * HEAD_DIMENSION;
  k += (size_t)sample * keys * pitch + head * HEAD_DIMENSION;
  v += (size_t)sample * keys * pitch + head * HEAD_DIMENSION;

  float4 ownQuery[SLICE4(SPLIT)], sums[SLICE4(SPLIT)];
  EACH (c, SLICE4(SPLIT)) {
    ownQuery[c] = read_channels(q + queryStart, part * SLICE4(SPLIT) + c, query < queries) * (scale * LOG2_E);
    sums[c] = (float4)(0.0f);
  }
  float highest = LOWEST, total = 0.0f;

  const int end = isCausal ? min(keys, (int)(get_group_id(0) + 1) * ROWS) : keys;
  for (int first = 0; first < end; first += TILE) {
    barrier(CLK_LOCAL_MEM_FENCE);
    stage(keyTile, k, pitch, first, keys, TILE, PADDED4(SPLIT), ROWS * SPLIT);
    stage(valueTile, v, pitch, first, keys, TILE, PADDED4(SPLIT), ROWS * SPLIT);
    barrier(CLK_LOCAL_MEM_FENCE);

    UNROLL_BY(2) for (int j = 0; j < TILE; ++j)
      partial[(part * TILE + j) * ROWS + row] =
          dot_slice(ownQuery, keyTile + j * PADDED4(SPLIT) + part * SLICE4(SPLIT), SLICE4(SPLIT));
    if (SPLIT > 1) barrier(CLK_LOCAL_MEM_FENCE);

    const int limit = min(isCausal ? min(keys, query + 1) : keys, first + TILE) - first;
    float newHighest = highest;
    for (int j = 0; j < limit; ++j) newHighest = fmax(newHighest, score(partial, row, j));
    const float shrink = exp2(highest - newHighest);
    highest = newHighest;
    total *= shrink;
    EACH (c, SLICE4(SPLIT)) sums[c] *= shrink;
    for (int j = 0; j < limit; ++j) {
      const float p = exp2(score(partial, row, j) - highest);
      total += p;
      EACH (c, SLICE4(SPLIT))
        sums[c] = fma((float4)(p), valueTile[j * PADDED4(SPLIT) + part * SLICE4(SPLIT) + c], sums[c]);
    }
  }

  if (query < queries) {
    EACH (c, SLICE4(SPLIT)) write_channels(y + queryStart, part * SLICE4(SPLIT) + c, sums[c] / total);
    if (part == 0) logSumExp[get_group_id(1) * queries + query] = (highest + log2(total)) * LN_2;
  }
}

#if HEAD_DIMENSION <= 160  // the width of heads that a gradient passes through

#define B_SLICE4 SLICE4(BACKWARD_SPLIT)
#define B_PADDED4 PADDED4(BACKWARD_SPLIT)
#define B_GROUP (BACKWARD_ROWS * BACKWARD_SPLIT)

// An item's slices of two products with each row of a tile, to where the row's other items find them. Loops over a tile
// are not unrolled here: the registers hold four slices already.
FOLDED void spread(__local float2 *partial, const float4 *a, __local const float4 *tileA, const float4 *b,
                   __local const float4 *tileB, const int row, const int part) {
  UNROLL_BY(2) for (int j = 0; j < BACKWARD_TILE; ++j) {
    const int start = j * B_PADDED4 + part * B_SLICE4;
    partial[(part * BACKWARD_TILE + j) * BACKWARD_ROWS + row] =
        (float2)(dot_slice(a, tileA + start, B_SLICE4), dot_slice(b, tileB + start, B_SLICE4));
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

// The two products of a row with row j of the tile.
FOLDED float2 gather(__local const float2 *partial, const int row, const int j) {
  float2 sum = (float2)(0.0f);
  EACH (p, BACKWARD_SPLIT) sum += partial[(p * BACKWARD_TILE + j) * BACKWARD_ROWS + row];
  return sum;
}

__kernel __attribute__((reqd_work_group_size(B_GROUP, 1, 1))) void attention_backward_query(
    __global storage_t *dq, __global const storage_t *dy, __global const storage_t *q, __global const storage_t *k,
    __global const storage_t *v, __global const float *logSumExp, __global const float *products, const int heads,
    const int queries, const int keys, const float scale, const int isCausal) {
  __local float4 keyTile[BACKWARD_TILE * B_PADDED4], valueTile[BACKWARD_TILE * B_PADDED4];
  __local float2 partial[B_GROUP * BACKWARD_TILE];
  const int row = get_local_id(0) % BACKWARD_ROWS, part = get_local_id(0) / BACKWARD_ROWS;
  const int query = get_group_id(0) * BACKWARD_ROWS + row, exists = query < queries;
  const int sample = get_group_id(1) / heads, head = get_group_id(1) % heads;
  const size_t pitch = (size_t)heads * HEAD_DIMENSION;
  const size_t queryStart = ((size_t)sample * queries + query) * pitch + head * HEAD_DIMENSION;
  k += (size_t)sample * keys * pitch + head * HEAD_DIMENSION;
  v += (size_t)sample * keys * pitch + head * HEAD_DIMENSION;

  float4 ownQuery[B_SLICE4], ownGradient[B_SLICE4], sums[B_SLICE4];
  EACH (c, B_SLICE4) {
    ownQuery[c] = read_channels(q + queryStart, part * B_SLICE4 + c, exists) * (scale * LOG2_E);
    ownGradient[c] = read_channels(dy + queryStart, part * B_SLICE4 + c, exists);
    sums[c] = (float4)(0.0f);
  }
  const float ownLogSum = exists ? logSumExp[get_group_id(1) * queries + query] * LOG2_E : 0.0f;
  const float ownProduct = exists ? products[get_group_id(1) * queries + query] : 0.0f;

  const int end = isCausal ? min(keys, (int)(get_group_id(0) + 1) * BACKWARD_ROWS) : keys;
  const int limit = isCausal ? min(keys, query + 1) : keys;
  for (int first = 0; first < end; first += BACKWARD_TILE) {
    barrier(CLK_LOCAL_MEM_FENCE);
    stage(keyTile, k, pitch, first, keys, BACKWARD_TILE, B_PADDED4, B_GROUP);
    stage(valueTile, v, pitch, first, keys, BACKWARD_TILE, B_PADDED4, B_GROUP);
    barrier(CLK_LOCAL_MEM_FENCE);
    spread(partial, ownQuery, keyTile, ownGradient, valueTile, row, part);
    for (int j = 0; j < BACKWARD_TILE; ++j) {
      const float2 both = gather(partial, row, j);
      const float p = first + j < limit ? exp2(both.s0 - ownLogSum) : 0.0f;
      const float ds = p * (both.s1 - ownProduct);
      EACH (c, B_SLICE4) sums[c] = fma((float4)(ds), keyTile[j * B_PADDED4 + part * B_SLICE4 + c], sums[c]);
    }
  }
  if (exists)
    EACH (c, B_SLICE4) write_channels(dq + queryStart, part * B_SLICE4 + c, sums[c] * scale);
}

__kernel __attribute__((reqd_work_group_size(B_GROUP, 1, 1))) void attention_backward_key_value(
    __global storage_t *dk, __global storage_t *dv, __global const storage_t *dy, __global const storage_t *q,
    __global const storage_t *k, __global const storage_t *v, __global const float *logSumExp,
    __global const float *products, const int heads, const int queries, const int keys, const float scale,
    const int isCausal) {
  __local float4 queryTile[BACKWARD_TILE * B_PADDED4], gradientTile[BACKWARD_TILE * B_PADDED4];
  __local float2 rowTile[BACKWARD_TILE];
  __local float2 partial[B_GROUP * BACKWARD_TILE];
  const int row = get_local_id(0) % BACKWARD_ROWS, part = get_local_id(0) / BACKWARD_ROWS;
  const int key = get_group_id(0) * BACKWARD_ROWS + row, exists = key < keys;
  const int sample = get_group_id(1) / heads, head = get_group_id(1) % heads;
  const size_t pitch = (size_t)heads * HEAD_DIMENSION;
  const size_t keyStart = ((size_t)sample * keys + key) * pitch + head * HEAD_DIMENSION;
  q += (size_t)sample * queries * pitch + head * HEAD_DIMENSION;
  dy += (size_t)sample * queries * pitch + head * HEAD_DIMENSION;

  float4 ownKey[B_SLICE4], ownValue[B_SLICE4], keySums[B_SLICE4], valueSums[B_SLICE4];
  EACH (c, B_SLICE4) {
    ownKey[c] = read_channels(k + keyStart, part * B_SLICE4 + c, exists) * (scale * LOG2_E);
    ownValue[c] = read_channels(v + keyStart, part * B_SLICE4 + c, exists);
    keySums[c] = valueSums[c] = (float4)(0.0f);
  }

  const int begin = isCausal ? (int)get_group_id(0) * BACKWARD_ROWS / BACKWARD_TILE * BACKWARD_TILE : 0;
  for (int first = begin; first < queries; first += BACKWARD_TILE) {
    barrier(CLK_LOCAL_MEM_FENCE);
    stage(queryTile, q, pitch, first, queries, BACKWARD_TILE, B_PADDED4, B_GROUP);
    stage(gradientTile, dy, pitch, first, queries, BACKWARD_TILE, B_PADDED4, B_GROUP);
    for (int j = get_local_id(0); j < BACKWARD_TILE; j += B_GROUP) {
      const int query = get_group_id(1) * queries + first + j;
      rowTile[j] = first + j < queries ? (float2)(logSumExp[query] * LOG2_E, products[query]) : (float2)(0.0f);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    spread(partial, ownKey, queryTile, ownValue, gradientTile, row, part);
    for (int j = 0; j < BACKWARD_TILE; ++j) {
      const float2 both = gather(partial, row, j);
      const int seen = first + j < queries && (!isCausal || first + j >= key);
      const float p = seen ? exp2(both.s0 - rowTile[j].s0) : 0.0f;
      const float ds = p * (both.s1 - rowTile[j].s1);
      EACH (c, B_SLICE4) {
        keySums[c] = fma((float4)(ds), queryTile[j * B_PADDED4 + part * B_SLICE4 + c], keySums[c]);
        valueSums[c] = fma((float4)(p), gradientTile[j * B_PADDED4 + part * B_SLICE4 + c], valueSums[c]);
      }
    }
  }
  if (exists)
    EACH (c, B_SLICE4) {
      write_channels(dk + keyStart, part * B_SLICE4 + c, keySums[c] * scale);
      write_channels(dv + keyStart, part * B_SLICE4 + c, valueSums[c]);
    }
}

#endif
