import ModelFiles
import Operators
import Tensors

extension TextEncoders {
  /// The conditioning of prompts in chunks, but for the sizes: each chunk is encoded by itself and weighted, and a prompt's
  /// chunks stand one behind the other in its context. The pooled text is the first chunk's.
  ///
  /// - Parameters:
  ///   - chunks: for each encoder, the chunks of each prompt; every prompt has as many.
  ///   - rows: as in `forward`.
  ///   - warn: told where weights change a prompt by much as a whole.
  /// - Throws: `UserError(.badData)` where weights leave no mean to restore, and what `forward` throws.
  public func conditioning(
    chunks: [[[PromptChunk]]], rows: [Component: Tensor<B.Storage>], warn: (String) -> Void = { _ in }
  ) throws -> Conditioning<B.Storage> {
    let prompts = chunks.first?.count ?? 0
    let count = chunks.first?.first?.count ?? 0
    guard count > 0, chunks.allSatisfy({ $0.count == prompts && $0.allSatisfy { $0.count == count } }) else {
      throw OperationError(.invalidShape, "TextEncoders.conditioning", "prompts are not of as many chunks")
    }
    let all = chunks.map { Array($0.joined()) }
    let tokens = all.map { chunks in
      TokenBatch(ids: chunks.flatMap(\.ids), batch: chunks.count, length: chunks[0].ids.count)
    }
    var conditioning = try forward(tokens, rows: rows, keeping: .nothing).conditioning
    if all.joined().contains(where: \.isWeighted) {
      var context = try backend.download(conditioning.context)
      var start = 0
      for (encoder, chunks) in zip(encoders, all) {
        let end = start + encoder.encoder.configuration.width
        context = try context.weighted(chunks.map(\.weights), channels: start..<end, warn: warn)
        start = end
      }
      conditioning.context = try backend.upload(context, as: conditioning.context.type)
    }
    if count > 1 {
      let shape = conditioning.context.shape
      conditioning.context = conditioning.context.reshaped([prompts, count * shape[1], shape[2]])
      if let pooled = conditioning.pooled {
        let width = pooled.shape[1]
        let values = try backend.download(pooled).values
        let first = (0..<prompts).flatMap { prompt in values.dropFirst(prompt * count * width).prefix(width) }
        conditioning.pooled = try backend.upload(HostTensor([prompts, width], first), as: pooled.type)
      }
    }
    return conditioning
  }

  /// Conditioning in which a prompt of the batch says nothing at all: zeros in place of context and pooled text.
  public func silenced(_ conditioning: Conditioning<B.Storage>, prompt: Int) throws -> Conditioning<B.Storage> {
    func silenced(_ tensor: Tensor<B.Storage>) throws -> Tensor<B.Storage> {
      var host = try backend.download(tensor)
      let size = host.shape.count / max(1, host.shape[0])
      for index in prompt * size..<(prompt + 1) * size { host.values[index] = 0 }
      return try backend.upload(host, as: tensor.type)
    }
    var result = conditioning
    guard (0..<conditioning.context.shape[0]).contains(prompt) else { return result }
    result.context = try silenced(conditioning.context)
    result.pooled = try conditioning.pooled.map(silenced)
    return result
  }
}
