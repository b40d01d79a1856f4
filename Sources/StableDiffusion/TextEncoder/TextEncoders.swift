import ModelFiles
import Operators
import Tensors

/// A model's text encoders: one, or two that read the same prompts and write their context side by side. Pooled text is that
/// of the encoder that is read for it.
public struct TextEncoders<B: Backend> {
  /// By the part of the model that each is, in the order in which their channels stand in the context.
  public let encoders: [(component: Component, encoder: TextEncoder<B>)]

  let backend: B

  /// What backward needs. It gives its memory back piece by piece as backward consumes it.
  public struct Saved: Sendable {
    fileprivate var encoders: [TextEncoder<B>.Saved] = []
  }

  public init(_ backend: B, _ first: TextEncoder<B>, _ second: TextEncoder<B>? = nil) {
    self.backend = backend
    encoders = [(.textEncoder, first)] + (second.map { [(.textEncoder2, $0)] } ?? [])
  }

  /// The encoder that is this part of the model, nil where the model has none.
  public subscript(component: Component) -> TextEncoder<B>? {
    encoders.first { $0.component == component }?.encoder
  }

  /// What `backward` takes gradients of: nothing where no encoder was built for it.
  public var gradientNames: Set<GradientName> {
    var names: Set<GradientName> = []
    for (_, encoder) in encoders where encoder.isDifferentiable {
      names.insert(.context)
      if encoder.reading.pooling != nil { names.insert(.pooled) }
    }
    return names
  }

  /// - Parameters:
  ///   - tokens: the prompts as each encoder reads them, of one batch and length.
  ///   - rows: each encoder's rows of the ids from its vocabulary's end on, `[n, width]` in float32, where an id names one.
  ///   - keeping: what each layer keeps for `backward`; with `nothing` there is none.
  /// - Returns: the conditioning, but for the sizes.
  public func forward(_ tokens: [TokenBatch], rows: [Component: Tensor<B.Storage>], keeping: Keeping = .all)
    throws(OperationError) -> (conditioning: Conditioning<B.Storage>, saved: Saved)
  {
    try require(
      tokens.count == encoders.count, "TextEncoders.forward",
      "\(tokens.count) batches of tokens for \(encoders.count) text encoders")
    func part(_ index: Int) throws(OperationError) -> (Conditioning<B.Storage>, TextEncoder<B>.Saved) {
      let (component, encoder) = encoders[index]
      return try encoder.forward(tokens[index], rows: rows[component], keeping: keeping)
    }
    var (whole, firstSaved) = try part(0)
    var saved = Saved(encoders: [firstSaved])
    for index in encoders.indices.dropFirst() {
      let (next, nextSaved) = try part(index)
      saved.encoders.append(nextSaved)
      whole.context = try backend.forward(ConcatenateChannels(), whole.context, next.context)
      whole.pooled = next.pooled ?? whole.pooled
    }
    return (whole, saved)
  }

  /// The gradient of what each encoder's token embedding gave, `[batch, length, width]`, of those that were built for it;
  /// `EmbeddingBackend.backwardRows` with an encoder's `embedding` makes its rows' gradient of it.
  public func backward(_ gradient: ConditioningGradient<B.Storage>, _ saved: consuming Saved)
    throws(OperationError) -> [Component: Tensor<B.Storage>]
  {
    var saved = saved
    var dContext = gradient.context
    var dEmbedded: [Component: Tensor<B.Storage>] = [:]
    for (index, (component, encoder)) in encoders.enumerated().reversed() {
      var dOwn = dContext
      if index > 0 {
        let before = dContext.shape.channels - encoder.configuration.width
        (dContext, dOwn) = try backend.backwardInput(ConcatenateChannels(), dContext, channels: before)
      }
      let encoderSaved = saved.encoders.removeLast()
      guard encoder.isDifferentiable else { continue }
      dEmbedded[component] = try encoder.backward(
        ConditioningGradient(context: dOwn, pooled: gradient.pooled), encoderSaved)
    }
    return dEmbedded
  }
}
