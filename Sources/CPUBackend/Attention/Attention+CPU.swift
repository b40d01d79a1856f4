import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  /// Tiles of queries run side by side, each over all its keys with a running maximum and sum.
  public func forward(
    _ op: Attention, q: Tensor<CPUStorage>, k: Tensor<CPUStorage>, v: Tensor<CPUStorage>
  ) throws(OperationError) -> Attention.Saved<CPUStorage> {
    let heads = Heads(op, q: q, k: k)
    var c = heads.c
    let output = try empty(q.shape, q.type, "Attention.forward")
    let logSumExp = try empty([heads.batch, op.heads, heads.queries], .float32, "Attention.forward")
    let packedFloats = rounded(vector_attention_forward_packed(&c))
    let packed = try pool.allocate(heads.count * packedFloats * 4, for: "Attention.forward")
    parallel(heads.count) { head in
      var c = heads.c
      vector_attention_forward_pack(
        &c, heads.keys(k, head), heads.keys(v, head), packed.floats + head * packedFloats)
    }
    let tile = Int(vector_attention_tile)
    let tiles = (heads.queries + tile - 1) / tile
    let scratchFloats = vector_attention_forward_scratch(&c)
    parallel(heads.count * tiles) { piece in
      var c = heads.c
      let (head, first) = (piece / tiles, piece % tiles * tile)
      withScratch(scratchFloats) { scratch in
        vector_attention_forward(
          &c, heads.queries(q, head), packed.floats + head * packedFloats, heads.queries(output, head),
          logSumExp.floats + head * heads.queries, first, min(tile, heads.queries - first), scratch)
      }
    }
    return Attention.Saved(output: output, logSumExp: logSumExp)
  }

  /// Each piece of work makes what one segment of queries and one of keys give to each other's gradients, in five products;
  /// sums over the segments follow in their order, so that two runs give the same bits.
  public func backwardInput(
    _ op: Attention, _ dy: Tensor<CPUStorage>, q: Tensor<CPUStorage>, k: Tensor<CPUStorage>, v: Tensor<CPUStorage>,
    saved: Attention.Saved<CPUStorage>, gradients: Attention.Gradients
  ) throws(OperationError) -> Attention.InputGradients<CPUStorage> {
    let operation = "Attention.backwardInput"
    let heads = Heads(op, q: q, k: k)
    var c = heads.c
    let padded = vector_attention_padded_dimension(&c)

    let packedFloats = rounded(vector_attention_backward_packed(&c))
    let packed = try pool.allocate(heads.count * packedFloats * 4, for: operation)
    let products = try pool.allocate(heads.count * heads.queries * 4, for: operation)
    parallel(heads.count) { head in
      var c = heads.c
      vector_attention_backward_pack(
        &c, heads.queries(q, head), heads.keys(k, head), heads.keys(v, head), heads.queries(dy, head),
        packed.floats + head * packedFloats)
      vector_attention_row_products(
        &c, heads.queries(dy, head), heads.queries(saved.output, head), products.floats + head * heads.queries)
    }

    let querySegments = Segments(heads.queries)
    let keySegments = Segments(heads.keys)
    let queryStride = heads.count * heads.queries * padded
    let keyStride = heads.count * heads.keys * padded
    let wantsQuery = gradients.contains(.query)
    let wantsKeys = gradients.contains(.keyValue)
    // One partial sum a segment of the other side.
    let dq = wantsQuery ? try pool.allocate(keySegments.count * queryStride * 4, for: operation) : nil
    let dk = wantsKeys ? try pool.allocate(querySegments.count * keyStride * 4, for: operation) : nil
    let dv = wantsKeys ? try pool.allocate(querySegments.count * keyStride * 4, for: operation) : nil
    let scratchFloats = vector_attention_backward_scratch(&c)
    parallel(heads.count * querySegments.count * keySegments.count) { piece in
      var c = heads.c
      let (head, pair) = piece.quotientAndRemainder(dividingBy: querySegments.count * keySegments.count)
      let (querySegment, keySegment) = pair.quotientAndRemainder(dividingBy: keySegments.count)
      let segment = vector_attention_segment(
        first_query: querySegments.start(querySegment), query_count: querySegments.length(querySegment),
        first_key: keySegments.start(keySegment), key_count: keySegments.length(keySegment))
      let queryOffset = keySegment * queryStride + head * heads.queries * padded
      let keyOffset = querySegment * keyStride + head * heads.keys * padded
      withScratch(scratchFloats) { scratch in
        vector_attention_backward(
          &c, segment, packed.floats + head * packedFloats, saved.logSumExp.floats + head * heads.queries,
          products.floats + head * heads.queries, dq.map { $0.floats + queryOffset },
          dk.map { $0.floats + keyOffset }, dv.map { $0.floats + keyOffset }, scratch)
      }
    }

    func gathered(
      _ partial: CPUStorage?, like x: Tensor<CPUStorage>, _ rows: Int, _ count: Int, _ stride: Int, _ factor: Float
    ) throws(OperationError) -> Tensor<CPUStorage>? {
      guard let partial else { return nil }
      let result = try empty(x.shape, x.type, operation)
      parallel(heads.count) { head in
        var c = heads.c
        vector_attention_gather(
          &c, heads.pointer(result, head, rows: rows), partial.floats + head * rows * padded, stride, count, rows,
          factor)
      }
      return result
    }
    return Attention.InputGradients(
      query: try gathered(dq, like: q, heads.queries, keySegments.count, queryStride, op.scale),
      key: try gathered(dk, like: k, heads.keys, querySegments.count, keyStride, op.scale),
      value: try gathered(dv, like: v, heads.keys, querySegments.count, keyStride, 1))
  }

  /// Packed heads start at multiples of 64 bytes.
  private func rounded(_ floats: Int) -> Int { (floats + 15) / 16 * 16 }
}

/// The heads of a batch, one after the other.
private struct Heads {
  let c: vector_attention
  let batch: Int
  let queries: Int
  let keys: Int
  let heads: Int
  let dimension: Int

  init(_ op: Attention, q: Tensor<CPUStorage>, k: Tensor<CPUStorage>) {
    batch = q.shape[0]
    queries = q.shape[1]
    keys = k.shape[1]
    heads = op.heads
    dimension = op.headDimension
    c = vector_attention(
      queries: queries, keys: keys, heads: heads, dimension: dimension, causal: op.isCausal, scale: op.scale,
      type: q.type.vector)
  }

  var count: Int { batch * heads }

  func queries(_ x: Tensor<CPUStorage>, _ head: Int) -> UnsafeMutableRawPointer { pointer(x, head, rows: queries) }

  func keys(_ x: Tensor<CPUStorage>, _ head: Int) -> UnsafeMutableRawPointer { pointer(x, head, rows: keys) }

  func pointer(_ x: Tensor<CPUStorage>, _ head: Int, rows: Int) -> UnsafeMutableRawPointer {
    x.at((head / heads * rows * heads + head % heads) * dimension)
  }
}

/// A sequence cut into at most four segments: as many partial sums are kept of the other side's gradients.
private struct Segments {
  let total: Int
  let size: Int

  init(_ total: Int) {
    self.total = total
    // A multiple of every vector width and of the tiles; short sequences are not cut.
    size = max(960, (total + 383) / 384 * 96)
  }

  var count: Int { (total + size - 1) / size }

  func start(_ segment: Int) -> Int { segment * size }

  func length(_ segment: Int) -> Int { min(size, total - segment * size) }
}
