import CPUBackend
import DemoModel
import Foundation
import Images
import ModelFiles
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Event files are, byte for byte, what torch.utils.tensorboard writes of the same (Tools/reference/event_files.py write).
@Suite struct TensorBoardTests {
  @Test func bytesAreThoseOfTorch() throws {
    let fixture = try Data(contentsOf: Fixtures.url("tensorboard/events"))
    let png = try Data(contentsOf: Fixtures.url("tensorboard/image.png"))
    func record(_ step: Int, _ content: TensorBoardEvent.Content) -> Data {
      TensorBoardEvent(wallTime: 1_700_000_000.25, step: step, content: content).record
    }
    func scalar(_ tag: String, _ value: Float) -> TensorBoardEvent.Content { .summary([.scalar(tag: tag, value)]) }
    let expected = [
      record(7, .fileVersion), record(7, .restart), record(7, scalar("loss/train", 0.25)),
      record(8, scalar("loss/train", 0)), record(1 << 33, scalar("row_angle", -12.345)), record(0, scalar("é", 3e-39)),
      record(250, .summary([.image(tag: "previews/1", width: 3, height: 4, png: png)])),
    ]
    // The first record names the program that wrote it.
    let first = 16 + Int(fixture[0])
    #expect(String(decoding: fixture[..<first], as: UTF8.self).contains("tensorboard.summary.writer"))
    #expect(fixture.dropFirst(first).elementsEqual(expected.joined()))
    #expect(record(0, .fileVersion).elementsEqual(Self.version))
  }

  /// A step of 0 is left out: length 24, its checksum, the message, its checksum; by the tensorboard package's own writer.
  private static let version: [UInt8] = [
    0x18, 0, 0, 0, 0, 0, 0, 0, 0xA3, 0x7F, 0x4B, 0x22, 0x09, 0, 0, 0x10, 0x40, 0xFC, 0x54, 0xD9, 0x41, 0x1A, 0x0D,
    0x62, 0x72, 0x61, 0x69, 0x6E, 0x2E, 0x45, 0x76, 0x65, 0x6E, 0x74, 0x3A, 0x32, 0x33, 0x8D, 0x2F, 0xE9,
  ]

  /// RFC 3720, B.4: 32 bytes of zeros, of ones, and rising.
  @Test func checksumsAreThoseOfTheStandard() {
    #expect(CRC32.castagnoli.checksum(Array(repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32.castagnoli.checksum(Array(repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32.castagnoli.checksum(Array(0..<32)) == 0x46DD_794E)
  }

  /// A run's file holds its steps and previews, and a run that goes on begins another that takes back what it does again.
  @Test func aRunKeepsItsSteps() throws {
    try TemporaryFolder.with { url in
      var heldOut: [Float] = []
      func train(_ folder: RunFolder, until stop: Int) throws {
        let observer = TensorBoardObserver(now: { 1_700_000_000.25 })
        let run = try DemoRun.make(
          folder, DemoRun.settings(steps: 3), report: ReportPolicy(previews: PreviewPolicy(prompts: ["{}"])))
        _ = try run.run([
          observer,
          ClosureObserver { event, run in
            if case .evaluated(let measured) = event { heldOut.append(measured.loss) }
            if case .stepped(let result) = event, result.step == stop { run.requestStop() }
          },
        ])
      }
      try train(RunFolder(new: url), until: 2)
      try train(RunFolder(resuming: url), until: 3)

      let folder = url.appendingPathComponent("tensorboard")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
      #expect(files == ["events.out.tfevents.1700000000.ti-gpu.0", "events.out.tfevents.1700000000.ti-gpu.1"])
      let bytes = try files.map { try Data(contentsOf: folder.appendingPathComponent($0)) }
      func record(_ step: Int, _ content: TensorBoardEvent.Content) -> Data {
        TensorBoardEvent(wallTime: 1_700_000_000.25, step: step, content: content).record
      }
      func image(_ step: Int) throws -> Data {
        let png = try Data(contentsOf: url.appendingPathComponent("previews/step-00000\(step)-1.png"))
        return record(step, .summary([.image(tag: "previews/1", width: 32, height: 32, png: png)]))
      }
      let tables = MetricsTable(reading: url.appendingPathComponent("metrics.csv"))
      func scalars(_ step: Int) throws -> Data {
        let tags = ["loss/train", "learning_rate", "gradient_norm", "row_norm", "row_angle", "loss_scale"]
        let values = try tables.rows[step - 1].dropFirst().prefix(tags.count).map { try #require(Float($0)) }
        return record(step, .summary(zip(tags, values).map { .scalar(tag: $0, $1) }))
      }
      func measured(_ step: Int, _ loss: Float) -> Data {
        record(step, .summary([.scalar(tag: "loss/held_out", loss)]))
      }
      try #require(heldOut.count == 2)
      #expect(
        bytes[0] == record(0, .fileVersion) + measured(0, heldOut[0]) + (try scalars(1)) + (try scalars(2)))
      #expect(
        try bytes[1] == record(0, .fileVersion) + record(3, .restart) + measured(3, heldOut[1]) + image(0) + image(3)
          + scalars(3))
      #expect(tables.values("held_out_loss").map { Float($0.y) } == [heldOut[1]])
    }
  }
}
