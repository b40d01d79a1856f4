import Foundation
import ModelFiles
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

@Suite struct CheckpointTests {
  private func checkpoint(step: Int = 7) throws -> Checkpoint {
    func tensor(_ step: UInt32) -> HostTensor {
      HostTensor([2, 8], Philox(seed: 3, stream: 1, step: step).normals(16))
    }
    var scale = LossScale(for: .float16)
    scale.succeeded()
    return Checkpoint(
      state: TrainingState(
        rows: tensor(0), firstMoment: tensor(1), secondMoment: tensor(2), step: step, lossScale: scale),
      settings: TrainingSettings(
        placeholder: try Placeholder("<toy>", vectors: 2), initializer: "toy", kind: .object, resolution: 64,
        precision: .float16),
      fingerprint: Fingerprint(model: ["unet/x.safetensors": "ab"], pictures: ["1.png": "cd"]))
  }

  @Test func comesBackBitForBit() throws {
    try TemporaryFolder.with { folder in
      let written = try checkpoint()
      try written.write(in: folder)
      let read = try #require(try Checkpoint.newest(in: folder))
      #expect(read.state == written.state)
      #expect(read.settings == written.settings)
      #expect(read.fingerprint == written.fingerprint)
    }
  }

  @Test func theNewestIsTheOneOfTheLastStep() throws {
    try TemporaryFolder.with { folder in
      for step in [2, 1000, 30] { try checkpoint(step: step).write(in: folder) }
      let newest = try Checkpoint.newest(in: folder)
      #expect(newest?.state.step == 1000)
    }
  }

  @Test func aFolderWithoutCheckpointsHasNone() throws {
    try TemporaryFolder.with { folder in
      let newest = try Checkpoint.newest(in: folder)
      #expect(newest == nil)
    }
  }

  @Test func aMissingRunIsSaidSo() throws {
    try TemporaryFolder.with { folder in
      let error = #expect(throws: UserError.self) { try Checkpoint.newest(in: folder.appendingPathComponent("none")) }
      #expect(error?.kind == .noInput)
    }
  }

  /// Every cut of a checkpoint is refused as bad data; none traps.
  @Test func aTruncatedOneIsRefused() throws {
    try TemporaryFolder.with { folder in
      try checkpoint().write(in: folder)
      let file = Checkpoint.folder(in: folder).appendingPathComponent("step-00000007.safetensors")
      let data = try Data(contentsOf: file)
      for length in stride(from: 0, to: data.count, by: 13) {
        try data.prefix(length).write(to: file)
        let error = #expect(throws: UserError.self) { try Checkpoint(file) }
        #expect(error?.kind == .badData)
      }
    }
  }
}
