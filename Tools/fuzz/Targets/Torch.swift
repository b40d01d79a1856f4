import Foundation
import TextualInversion

@testable import ModelFiles

extension FuzzTarget {
  /// A file of `torch.save`, as a ZIP file or in the form before.
  static let torch = FuzzTarget("torch") { bytes in
    let url = file("word.pt", bytes)
    expecting { _ = try EmbeddingFile.read(url) }
    let torch = try TorchFile(url)
    torch.value.forEachTensor { tensor in
      expecting { _ = try torch.tensor(tensor) }
    }
  }

  /// A pickle without a file round it.
  static let pickle = FuzzTarget("pickle") { bytes in
    do { _ = try PickleMachine.read(ByteReader(Array(bytes))) } catch is PickleMachine.Refusal {}
  }
}
