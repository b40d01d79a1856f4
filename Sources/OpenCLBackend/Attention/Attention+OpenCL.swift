import Operators
import Tensors

extension OpenCLBackend: AttentionBackend {
  public func forward(
    _ op: Attention, q: Tensor<OpenCLBuffer>, k: Tensor<OpenCLBuffer>, v: Tensor<OpenCLBuffer>
  ) throws(OperationError) -> Attention.Saved<OpenCLBuffer> {
    let (queries, keys) = (q.shape[1], k.shape[1])
    let y = try allocate(q.shape, q.type)
    let logSumExp = try allocate([q.shape[0], op.heads, queries], .float32)
    guard q.shape.count > 0 else { return Attention.Saved(output: y, logSumExp: logSumExp) }
    let causal = op.isCausal ? 1 : 0

    if kernelForm == .gpu {
      let parameters = AttentionGroupParameters(headDimension: op.headDimension)
      try run(
        "attention_forward", parameters, storage: q.type,
        WorkSize(
          groups: [(queries + parameters.forward.rows - 1) / parameters.forward.rows, q.shape[0] * op.heads],
          local: [parameters.forward.items, 1]), y, logSumExp, q, k, v, op.heads, queries, keys, op.scale, causal)
    } else {
      let parameters = AttentionBlockParameters(headDimension: op.headDimension, device)
      let packedK = try packTokens(op, k, parameters, panels: true, rows: false)
      let packedV = try packTokens(op, v, parameters, panels: false, rows: true)
      try run(
        "attention_forward", parameters, storage: q.type, blocks(of: queries, op, q.shape[0], parameters), y,
        logSumExp, q, packedK.panels, packedV.rows, op.heads, queries, keys, op.scale, causal)
    }
    return Attention.Saved(output: y, logSumExp: logSumExp)
  }

  public func backwardInput(
    _ op: Attention, _ dy: Tensor<OpenCLBuffer>, q: Tensor<OpenCLBuffer>, k: Tensor<OpenCLBuffer>,
    v: Tensor<OpenCLBuffer>, saved: Attention.Saved<OpenCLBuffer>, gradients: Attention.Gradients
  ) throws(OperationError) -> Attention.InputGradients<OpenCLBuffer> {
    let wantsQuery = gradients.contains(.query)
    let wantsKeyValue = gradients.contains(.keyValue)
    let dq = wantsQuery ? try allocate(q.shape, q.type) : nil
    let dk = wantsKeyValue ? try allocate(k.shape, q.type) : nil
    let dv = wantsKeyValue ? try allocate(v.shape, q.type) : nil
    let result = Attention.InputGradients(query: dq, key: dk, value: dv)
    guard q.shape.count > 0 else { return result }

    if kernelForm == .gpu {
      try backwardByGroups(op, dy, q, k, v, saved, result)
    } else {
      try backwardByBlocks(op, dy, q, k, v, saved, result)
    }
    return result
  }

  // MARK: - GPU form

  private func backwardByGroups(
    _ op: Attention, _ dy: Tensor<OpenCLBuffer>, _ q: Tensor<OpenCLBuffer>, _ k: Tensor<OpenCLBuffer>,
    _ v: Tensor<OpenCLBuffer>, _ saved: Attention.Saved<OpenCLBuffer>,
    _ gradients: Attention.InputGradients<OpenCLBuffer>
  ) throws(OperationError) {
    let parameters = AttentionGroupParameters(headDimension: op.headDimension)
    let pass = parameters.backward
    let (batch, queries, keys, causal) = (q.shape[0], q.shape[1], k.shape[1], op.isCausal ? 1 : 0)
    let products = try rowProducts(op, dy, saved, parameters)
    func size(_ rows: Int) -> WorkSize {
      WorkSize(groups: [(rows + pass.rows - 1) / pass.rows, batch * op.heads], local: [pass.items, 1])
    }
    if let dq = gradients.query {
      try run(
        "attention_backward_query", parameters, storage: q.type, size(queries), dq, dy, q, k, v, saved.logSumExp,
        products, op.heads, queries, keys, op.scale, causal)
    }
    if let dk = gradients.key, let dv = gradients.value {
      try run(
        "attention_backward_key_value", parameters, storage: q.type, size(keys), dk, dv, dy, q, k, v,
        saved.logSumExp, products, op.heads, queries, keys, op.scale, causal)
    }
  }

  /// `D` of the backward formulas, `[batch, heads, queries]` in float32.
  private func rowProducts<Parameters: KernelParameters>(
    _ op: Attention, _ dy: Tensor<OpenCLBuffer>, _ saved: Attention.Saved<OpenCLBuffer>, _ parameters: Parameters
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let products = try allocate([dy.shape[0], op.heads, dy.shape[1]], .float32)
    try run(
      "attention_row_products", parameters, storage: dy.type, WorkSize(items: products.shape.count, local: 64),
      products, dy, saved.output, dy.shape[0], op.heads, dy.shape[1])
    return products
  }

  // MARK: - CPU form

  private func backwardByBlocks(
    _ op: Attention, _ dy: Tensor<OpenCLBuffer>, _ q: Tensor<OpenCLBuffer>, _ k: Tensor<OpenCLBuffer>,
    _ v: Tensor<OpenCLBuffer>, _ saved: Attention.Saved<OpenCLBuffer>,
    _ gradients: Attention.InputGradients<OpenCLBuffer>
  ) throws(OperationError) {
    let parameters = AttentionBlockParameters(headDimension: op.headDimension, device)
    let (batch, queries, keys, causal) = (q.shape[0], q.shape[1], k.shape[1], op.isCausal ? 1 : 0)
    let products = try rowProducts(op, dy, saved, parameters)
    if let dq = gradients.query, let dk = gradients.key, let dv = gradients.value,
      batch * op.heads >= 2 * device.computeUnits
    {
      // Heads enough for every unit: one item a head makes the scores once.
      let packedQ = try packTokens(op, q, parameters, panels: true, rows: true)
      let packedDy = try packTokens(op, dy, parameters, panels: true, rows: true)
      let querySums = try pool.take(4 * parameters.querySumsCount(queries: queries, heads: batch * op.heads))
      try run(
        "attention_backward_head", parameters, storage: q.type,
        WorkSize(groups: [1, batch * op.heads], local: [1, 1]), dq, dk, dv, querySums, packedDy.panels, packedDy.rows,
        packedQ.panels, packedQ.rows, k, v, saved.logSumExp, products, op.heads, queries, keys, op.scale, causal)
      return
    }
    if let dq = gradients.query {
      let packedK = try packTokens(op, k, parameters, panels: true, rows: true)
      let packedV = try packTokens(op, v, parameters, panels: true, rows: false)
      try run(
        "attention_backward_query", parameters, storage: q.type, blocks(of: queries, op, batch, parameters), dq, dy,
        q, packedK.panels, packedK.rows, packedV.panels, saved.logSumExp, products, op.heads, queries, keys, op.scale,
        causal)
    }
    if let dk = gradients.key, let dv = gradients.value {
      let packedQ = try packTokens(op, q, parameters, panels: true, rows: true)
      let packedDy = try packTokens(op, dy, parameters, panels: true, rows: true)
      try run(
        "attention_backward_key_value", parameters, storage: q.type, blocks(of: keys, op, batch, parameters), dk, dv,
        packedDy.panels, packedDy.rows, packedQ.panels, packedQ.rows, k, v, saved.logSumExp, products, op.heads,
        queries, keys, op.scale, causal)
    }
  }

  private func blocks(of rows: Int, _ op: Attention, _ batch: Int, _ parameters: AttentionBlockParameters) -> WorkSize {
    WorkSize(groups: [(rows + parameters.rows - 1) / parameters.rows, batch * op.heads], local: [1, 1])
  }

  /// `x`, `[batch, tokens, heads * headDimension]`, as `attention_pack` lays it out; one that is not asked for stands in for the
  /// other.
  private func packTokens(
    _ op: Attention, _ x: Tensor<OpenCLBuffer>, _ parameters: AttentionBlockParameters, panels: Bool, rows: Bool
  ) throws(OperationError) -> (panels: OpenCLBuffer, rows: OpenCLBuffer) {
    let (batch, tokens) = (x.shape[0], x.shape[1])
    let bytes = 4 * parameters.packedCount(tokens: tokens, heads: batch * op.heads)
    let first = try pool.take(bytes)
    let second = panels && rows ? try pool.take(bytes) : first
    let columns = parameters.tile.columns
    try run(
      "attention_pack", parameters, storage: x.type,
      WorkSize(groups: [(tokens + columns - 1) / columns, batch * op.heads], local: [1, 1]), first, second, x, op.heads,
      tokens, panels ? 1 : 0, rows ? 1 : 0)
    return (first, second)
  }
}
