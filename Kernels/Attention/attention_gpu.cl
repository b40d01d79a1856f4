// Scaled dot-product attention without the matrix of scores in memory, GPU form (attention_shared.cl comes
// first).
//
//     forward:   S = scale q kᵀ    L = log sum exp S    P = exp(S - L)    y = P v
//     backward:  dS = P ∘ (dy vᵀ - D)    dq = scale dS k    dk = scale dSᵀ q    dv = Pᵀ dy
//
// q, y and their gradients are [batch, queries, heads, HEAD_DIMENSION], k, v and theirs [batch, keys, heads,
// HEAD_DIMENSION]; L and D (attention_shared.cl) are [batch, heads, queries] in float. Backward needs q, k, v, L and D,
// and makes the scores anew; its two kernels each own the rows they write, so nothing is summed by atomics.
//
// A group owns OWN_ROWS rows of one head: queries in forward and backward_query, keys in backward_key_value. SPLIT
// items share a row: each holds a slice of SLICE channels of it in registers, the row's sums too. The other side passes
// by in tiles of STEP_ROWS rows in local memory, which every item reads at the same place (a broadcast). Scores are
// sums over the slices, put together in local memory. Groups: (rows / OWN_ROWS rounded up, batch heads) of OWN_ROWS
// SPLIT items. Exponents are taken to base 2.

#ifndef OWN_ROWS
#define OWN_ROWS 64  // rows a group owns in forward
#endif
#ifndef SPLIT
#define SPLIT 1  // items that share a row in forward
#endif
#ifndef STEP_ROWS
#define STEP_ROWS 16  // rows of the other side in local memory in forward
#endif
#ifndef BACKWARD_OWN_ROWS
#define BACKWARD_OWN_ROWS 64  // the same three in backward
#endif
#ifndef BACKWARD_SPLIT
#define BACKWARD_SPLIT 2
#endif
#ifndef BACKWARD_STEP_ROWS
#define BACKWARD_STEP_ROWS 16
#endif

#define GROUP_SIZE (OWN_ROWS * SPLIT)  // items in a group
// A slice in quads, and a row with its slices filled up.
#define SLICE4(split) ((HEAD_DIMENSION + 4 * (split) - 1) / (4 * (split)))
#define PADDED4(split) (SLICE4(split) * (split))

// Channels 4 quad ... 4 quad + 3 of a row that starts at `row`; channels past the head, and rows that aren't there, are
// zero.
INLINED float4 read_channels(__global const storage_t *row, int quad, int exists) {
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

INLINED void write_channels(__global storage_t *row, int quad, float4 channels) {
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
INLINED void stage_rows(__local float4 *staged, __global const storage_t *source, size_t pitch, int first, int count,
                        int tile, int padded4, int items) {
  for (int i = get_local_id(0); i < tile * padded4; i += items) {
    int row = first + i / padded4;
    staged[i] = read_channels(source + row * pitch, i % padded4, row < count);
  }
}

INLINED float dot_slice(const float4 *slice, __local const float4 *row, int slice4) {
  float4 sum = (float4)(0.0f);
  EACH (c, slice4) sum = fma(slice[c], row[c], sum);
  return (sum.s0 + sum.s1) + (sum.s2 + sum.s3);
}

// The score of a row with row j of the tile: the sum of what its items found over their slices.
INLINED float score(__local const float *partial, int row, int j) {
  float sum = 0.0f;
  EACH (p, SPLIT) sum += partial[(p * STEP_ROWS + j) * OWN_ROWS + row];
  return sum;
}

__kernel GROUP_OF(GROUP_SIZE) void attention_forward(__global storage_t *y, __global float *log_sum_exp,
                                                     __global const storage_t *q, __global const storage_t *k,
                                                     __global const storage_t *v, int heads, int queries, int keys,
                                                     float scale, int is_causal) {
  __local float4 key_tile[STEP_ROWS * PADDED4(SPLIT)], value_tile[STEP_ROWS * PADDED4(SPLIT)];
  __local float partial[GROUP_SIZE * STEP_ROWS];
  int row = get_local_id(0) % OWN_ROWS, part = get_local_id(0) / OWN_ROWS;
  int query = get_group_id(0) * OWN_ROWS + row;
  size_t pitch = (size_t)heads * HEAD_DIMENSION;
  size_t query_start = head_start(heads, queries) + query * pitch;
  k += head_start(heads, keys);
  v += head_start(heads, keys);

  float4 own_query[SLICE4(SPLIT)], sums[SLICE4(SPLIT)];
  EACH (c, SLICE4(SPLIT)) {
    own_query[c] = read_channels(q + query_start, part * SLICE4(SPLIT) + c, query < queries) * (scale * LOG2_E);
    sums[c] = (float4)(0.0f);
  }
  float highest = LOWEST_SCORE, total = 0.0f;

  int end = is_causal ? min(keys, (int)(get_group_id(0) + 1) * OWN_ROWS) : keys;
  for (int first = 0; first < end; first += STEP_ROWS) {
    barrier(CLK_LOCAL_MEM_FENCE);
    stage_rows(key_tile, k, pitch, first, keys, STEP_ROWS, PADDED4(SPLIT), GROUP_SIZE);
    stage_rows(value_tile, v, pitch, first, keys, STEP_ROWS, PADDED4(SPLIT), GROUP_SIZE);
    barrier(CLK_LOCAL_MEM_FENCE);

    UNROLL_BY(2) for (int j = 0; j < STEP_ROWS; ++j)
      partial[(part * STEP_ROWS + j) * OWN_ROWS + row] =
          dot_slice(own_query, key_tile + j * PADDED4(SPLIT) + part * SLICE4(SPLIT), SLICE4(SPLIT));
    if (SPLIT > 1) barrier(CLK_LOCAL_MEM_FENCE);

    int limit = min(is_causal ? min(keys, query + 1) : keys, first + STEP_ROWS) - first;
    float new_highest = highest;
    for (int j = 0; j < limit; ++j) new_highest = fmax(new_highest, score(partial, row, j));
    float shrink = exp2(highest - new_highest);
    highest = new_highest;
    total *= shrink;
    EACH (c, SLICE4(SPLIT)) sums[c] *= shrink;
    for (int j = 0; j < limit; ++j) {
      float p = exp2(score(partial, row, j) - highest);
      total += p;
      EACH (c, SLICE4(SPLIT))
        sums[c] = fma((float4)(p), value_tile[j * PADDED4(SPLIT) + part * SLICE4(SPLIT) + c], sums[c]);
    }
  }

  if (query < queries) {
    EACH (c, SLICE4(SPLIT)) write_channels(y + query_start, part * SLICE4(SPLIT) + c, sums[c] / total);
    if (part == 0) log_sum_exp[get_group_id(1) * queries + query] = (highest + log2(total)) * LN_2;
  }
}

#if HEAD_DIMENSION <= 160  // the width of heads that a gradient passes through

#define BACKWARD_SLICE4 SLICE4(BACKWARD_SPLIT)
#define BACKWARD_PADDED4 PADDED4(BACKWARD_SPLIT)
#define BACKWARD_GROUP_SIZE (BACKWARD_OWN_ROWS * BACKWARD_SPLIT)

// An item's slices of two products with each row of a tile, to where the row's other items find them. Loops over a tile
// are not unrolled here: the registers hold four slices already.
INLINED void spread(__local float2 *partial, const float4 *a, __local const float4 *tile_a, const float4 *b,
                    __local const float4 *tile_b, int row, int part) {
  UNROLL_BY(2) for (int j = 0; j < BACKWARD_STEP_ROWS; ++j) {
    int start = j * BACKWARD_PADDED4 + part * BACKWARD_SLICE4;
    partial[(part * BACKWARD_STEP_ROWS + j) * BACKWARD_OWN_ROWS + row] =
        (float2)(dot_slice(a, tile_a + start, BACKWARD_SLICE4), dot_slice(b, tile_b + start, BACKWARD_SLICE4));
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

// The two products of a row with row j of the tile.
INLINED float2 gather(__local const float2 *partial, int row, int j) {
  float2 sum = (float2)(0.0f);
  EACH (p, BACKWARD_SPLIT) sum += partial[(p * BACKWARD_STEP_ROWS + j) * BACKWARD_OWN_ROWS + row];
  return sum;
}

__kernel GROUP_OF(BACKWARD_GROUP_SIZE) void attention_backward_query(
    __global storage_t *dq, __global const storage_t *dy, __global const storage_t *q, __global const storage_t *k,
    __global const storage_t *v, __global const float *log_sum_exp, __global const float *products, int heads,
    int queries, int keys, float scale, int is_causal) {
  __local float4 key_tile[BACKWARD_STEP_ROWS * BACKWARD_PADDED4], value_tile[BACKWARD_STEP_ROWS * BACKWARD_PADDED4];
  __local float2 partial[BACKWARD_GROUP_SIZE * BACKWARD_STEP_ROWS];
  int row = get_local_id(0) % BACKWARD_OWN_ROWS, part = get_local_id(0) / BACKWARD_OWN_ROWS;
  int query = get_group_id(0) * BACKWARD_OWN_ROWS + row, exists = query < queries;
  size_t pitch = (size_t)heads * HEAD_DIMENSION;
  size_t query_start = head_start(heads, queries) + query * pitch;
  k += head_start(heads, keys);
  v += head_start(heads, keys);

  float4 own_query[BACKWARD_SLICE4], own_gradient[BACKWARD_SLICE4], sums[BACKWARD_SLICE4];
  EACH (c, BACKWARD_SLICE4) {
    own_query[c] = read_channels(q + query_start, part * BACKWARD_SLICE4 + c, exists) * (scale * LOG2_E);
    own_gradient[c] = read_channels(dy + query_start, part * BACKWARD_SLICE4 + c, exists);
    sums[c] = (float4)(0.0f);
  }
  float own_log_sum = exists ? log_sum_exp[get_group_id(1) * queries + query] * LOG2_E : 0.0f;
  float own_product = exists ? products[get_group_id(1) * queries + query] : 0.0f;

  int end = is_causal ? min(keys, (int)(get_group_id(0) + 1) * BACKWARD_OWN_ROWS) : keys;
  int limit = is_causal ? min(keys, query + 1) : keys;
  for (int first = 0; first < end; first += BACKWARD_STEP_ROWS) {
    barrier(CLK_LOCAL_MEM_FENCE);
    stage_rows(key_tile, k, pitch, first, keys, BACKWARD_STEP_ROWS, BACKWARD_PADDED4, BACKWARD_GROUP_SIZE);
    stage_rows(value_tile, v, pitch, first, keys, BACKWARD_STEP_ROWS, BACKWARD_PADDED4, BACKWARD_GROUP_SIZE);
    barrier(CLK_LOCAL_MEM_FENCE);
    spread(partial, own_query, key_tile, own_gradient, value_tile, row, part);
    for (int j = 0; j < BACKWARD_STEP_ROWS; ++j) {
      float2 both = gather(partial, row, j);
      float p = first + j < limit ? exp2(both.s0 - own_log_sum) : 0.0f;
      float ds = p * (both.s1 - own_product);
      EACH (c, BACKWARD_SLICE4)
        sums[c] = fma((float4)(ds), key_tile[j * BACKWARD_PADDED4 + part * BACKWARD_SLICE4 + c], sums[c]);
    }
  }
  if (exists)
    EACH (c, BACKWARD_SLICE4) write_channels(dq + query_start, part * BACKWARD_SLICE4 + c, sums[c] * scale);
}

__kernel GROUP_OF(BACKWARD_GROUP_SIZE) void attention_backward_key_value(
    __global storage_t *dk, __global storage_t *dv, __global const storage_t *dy, __global const storage_t *q,
    __global const storage_t *k, __global const storage_t *v, __global const float *log_sum_exp,
    __global const float *products, int heads, int queries, int keys, float scale, int is_causal) {
  __local float4 query_tile[BACKWARD_STEP_ROWS * BACKWARD_PADDED4],
      gradient_tile[BACKWARD_STEP_ROWS * BACKWARD_PADDED4];
  __local float2 row_tile[BACKWARD_STEP_ROWS];
  __local float2 partial[BACKWARD_GROUP_SIZE * BACKWARD_STEP_ROWS];
  int row = get_local_id(0) % BACKWARD_OWN_ROWS, part = get_local_id(0) / BACKWARD_OWN_ROWS;
  int key = get_group_id(0) * BACKWARD_OWN_ROWS + row, exists = key < keys;
  size_t pitch = (size_t)heads * HEAD_DIMENSION;
  size_t key_start = head_start(heads, keys) + key * pitch;
  q += head_start(heads, queries);
  dy += head_start(heads, queries);

  float4 own_key[BACKWARD_SLICE4], own_value[BACKWARD_SLICE4], key_sums[BACKWARD_SLICE4], value_sums[BACKWARD_SLICE4];
  EACH (c, BACKWARD_SLICE4) {
    own_key[c] = read_channels(k + key_start, part * BACKWARD_SLICE4 + c, exists) * (scale * LOG2_E);
    own_value[c] = read_channels(v + key_start, part * BACKWARD_SLICE4 + c, exists);
    key_sums[c] = value_sums[c] = (float4)(0.0f);
  }

  int begin = is_causal ? (int)get_group_id(0) * BACKWARD_OWN_ROWS / BACKWARD_STEP_ROWS * BACKWARD_STEP_ROWS : 0;
  for (int first = begin; first < queries; first += BACKWARD_STEP_ROWS) {
    barrier(CLK_LOCAL_MEM_FENCE);
    stage_rows(query_tile, q, pitch, first, queries, BACKWARD_STEP_ROWS, BACKWARD_PADDED4, BACKWARD_GROUP_SIZE);
    stage_rows(gradient_tile, dy, pitch, first, queries, BACKWARD_STEP_ROWS, BACKWARD_PADDED4, BACKWARD_GROUP_SIZE);
    for (int j = get_local_id(0); j < BACKWARD_STEP_ROWS; j += BACKWARD_GROUP_SIZE) {
      int query = get_group_id(1) * queries + first + j;
      row_tile[j] = first + j < queries ? (float2)(log_sum_exp[query] * LOG2_E, products[query]) : (float2)(0.0f);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    spread(partial, own_key, query_tile, own_value, gradient_tile, row, part);
    for (int j = 0; j < BACKWARD_STEP_ROWS; ++j) {
      float2 both = gather(partial, row, j);
      int seen = first + j < queries && (!is_causal || first + j >= key);
      float p = seen ? exp2(both.s0 - row_tile[j].s0) : 0.0f;
      float ds = p * (both.s1 - row_tile[j].s1);
      EACH (c, BACKWARD_SLICE4) {
        key_sums[c] = fma((float4)(ds), query_tile[j * BACKWARD_PADDED4 + part * BACKWARD_SLICE4 + c], key_sums[c]);
        value_sums[c] =
            fma((float4)(p), gradient_tile[j * BACKWARD_PADDED4 + part * BACKWARD_SLICE4 + c], value_sums[c]);
      }
    }
  }
  if (exists)
    EACH (c, BACKWARD_SLICE4) {
      write_channels(dk + key_start, part * BACKWARD_SLICE4 + c, key_sums[c] * scale);
      write_channels(dv + key_start, part * BACKWARD_SLICE4 + c, value_sums[c]);
    }
}

#endif
