import Operators
import Tensors
import TestSupport
import Testing

/// Runs an operation twice, each time with the pool full of NaN, and gives its results.
///
/// Tensors of the shapes in `poison` are filled with NaN and dropped just before, so that the operation is handed their memory: a
/// result that isn't written whole, or a sum that starts from what it finds, shows. Between them lie tensors of ones that stay:
/// a write beyond a result's end shows too. The two runs must give the same bits.
func results<B: Backend>(
  _ backend: B, _ what: String, poison: [(Shape, ElementType)], _ operation: () throws -> [Tensor<B.Storage>?]
) throws -> [HostTensor] {
  func run() throws -> [HostTensor] {
    var poisoned: [Tensor<B.Storage>] = []
    var neighbours: [Tensor<B.Storage>] = []
    for (shape, type) in poison {
      for _ in 0..<2 {
        poisoned.append(try backend.upload(HostTensor(repeating: .nan, shape), as: type))
        neighbours.append(try backend.upload(HostTensor(repeating: 1, shape), as: type))
      }
    }
    poisoned.removeAll()
    let results = try operation().compactMap { tensor in try tensor.map { try backend.download($0) } }
    for neighbour in neighbours {
      let intact = try backend.download(neighbour) == HostTensor(repeating: 1, neighbour.shape)
      #expect(intact, "\(what) on \(backend.name) wrote into a tensor of \(neighbour.shape) that is not its own")
    }
    return results
  }
  let first = try run()
  for (a, b) in zip(first, try run()) { expectSameBits(a, b, "\(what) on \(backend.name)") }
  return first
}

/// Whether `body` throws an operation's error with the given code.
func expectRefusal(
  _ code: OperationError.Code, _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> Void
) {
  do {
    try body()
    Issue.record("\(what) is not refused", sourceLocation: sourceLocation)
  } catch let error as OperationError {
    #expect(error.code == code, "\(what): \(error)", sourceLocation: sourceLocation)
  } catch {
    Issue.record("\(what): \(error)", sourceLocation: sourceLocation)
  }
}
