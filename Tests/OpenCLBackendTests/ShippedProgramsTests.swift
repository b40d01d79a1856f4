import Foundation
import Operators
import TestSupport
import Testing

@testable import OpenCLBackend

/// The kernels that go to GPUs which tests never see.
@Suite struct ShippedProgramsTests {
  /// `Tools/gpu-check` compiles the programs of its table for real chips: the table must be what the backend builds.
  @Test func gpuCheckCompilesWhatShips() throws {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let file = package.appendingPathComponent("Tools/gpu-check/programs.txt")
    let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
    let shipped = ShippedPrograms.table.split(separator: "\n")
    for line in shipped where !lines.contains(line) { Issue.record("programs.txt lacks: \(line)") }
    for line in lines where !shipped.contains(line) { Issue.record("programs.txt has what does not ship: \(line)") }
  }

  /// A group of 256 items and 32 KiB of local memory are what every consumer GPU has, whatever the width of a head.
  @Test func everyHeadFitsEveryGPU() throws {
    let limits = DeviceLimits(try TestBackends.openCLDevice())
    for headDimension in 1...512 {
      let parameters = AttentionGroupParameters(headDimension: headDimension)
      #expect(throws: Never.self, "heads of \(headDimension)") { try parameters.check(limits) }
      #expect(parameters.forward.items <= 256 && parameters.backward.items <= 256)
      #expect(parameters.forward.localMemory(headDimension, partials: 1) <= 32 << 10)
      #expect(parameters.backward.localMemory(min(headDimension, 160), partials: 2) <= 32 << 10)
    }
  }

  /// Tiles that don't come apart into what the items of a group stage are refused before a compiler sees them.
  @Test func tilesThatDoNotFitAreRefused() throws {
    let limits = DeviceLimits(try TestBackends.openCLDevice())
    for tile in GroupTile.shipped { #expect(throws: Never.self) { try tile.check("linear", limits) } }
    let wrong = [
      GroupTile(rows: 64, columns: 64, depth: 16, itemRows: 2, itemColumns: 4),
      GroupTile(rows: 256, columns: 128, depth: 8, itemRows: 8, itemColumns: 8),
      GroupTile(rows: 128, columns: 128, depth: 32, itemRows: 8, itemColumns: 8),
      GroupTile(rows: 64, columns: 64, depth: 4, itemRows: 4, itemColumns: 4),
    ]
    for tile in wrong { #expect(throws: (any Error).self, "\(tile)") { try tile.check("linear", limits) } }
  }
}
