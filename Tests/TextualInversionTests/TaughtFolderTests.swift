import DemoModel
import Foundation
import ModelFiles
import Operators
import StableDiffusion
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Several concepts in one run: what folders' names say, which word a picture teaches, and that each word learns from its own.
@Suite(.serialized) struct TaughtFolderTests {
  @Test func namesSayRepeatsWordAndStart() throws {
    for (name, word, initializer, repeats) in [
      ("10_my-toy red toy", "<my-toy>", "red toy", 10), ("my-toy", "<my-toy>", nil, 1),
      ("3_<a_b> cat", "<a_b>", "cat", 3),
      ("a_b cat", "<a_b>", "cat", 1), ("<x", "<<x>", nil, 1),
    ] as [(String, String, String?, Int)] {
      let named = try #require(TaughtFolder.named(name))
      #expect(named.concept.word == word && named.initializer == initializer && named.concept.repeats == repeats)
      #expect(named.concept.folder == name)
    }
    #expect(TaughtFolder.named(" ") == nil && TaughtFolder.named("10_") == nil)
  }

  @Test func foldersAreFound() throws {
    try TemporaryFolder.with { folder in
      func make(_ name: String) throws {
        try FileManager.default.createDirectory(
          at: folder.appendingPathComponent(name), withIntermediateDirectories: true)
      }
      #expect(userError { _ = try TaughtFolder.found(in: folder) }?.kind == .noInput)
      #expect(userError { _ = try TaughtFolder.found(in: folder.appendingPathComponent("no")) }?.kind == .noInput)
      for name in ["2_rocket toy", "cat cat", ".hidden x"] { try make(name) }
      try Data().write(to: folder.appendingPathComponent("notes"))
      try make("5_")
      var warnings: [String] = []
      let found = try TaughtFolder.found(in: folder) { warnings.append($0) }
      #expect(
        warnings == [
          "passed over 5_: the folder's name holds no word", "passed over notes: no folder of a concept's pictures",
        ])
      #expect(found.map(\.concept.word) == ["<rocket>", "<cat>"] && found.map(\.initializer) == ["toy", "cat"])
      var settings = try settings()
      try settings.teach(found)
      #expect(settings.words.map(\.placeholder.word) == ["<rocket>", "<cat>"])
      #expect(settings.words.map(\.initializer) == ["toy", "cat"])
      #expect(settings.pictureSet.concepts.map(\.folder) == ["2_rocket toy", "cat cat"])
      #expect(settings.words.allSatisfy { $0.placeholder.vectors == 2 && $0.role == .taught })
      try settings.teach([found[1], (TaughtFolder(folder: "tree", word: "<tree>"), nil)], startingFrom: "plant")
      #expect(settings.words.map(\.initializer) == ["cat", "plant"])
      try settings.teach([(TaughtFolder(folder: "tree", word: "<tree>"), nil), found[1]])
      #expect(settings.words.map(\.initializer) == ["", "cat"])
      try make("3_cat tabby")
      let twice = userError { _ = try TaughtFolder.found(in: folder) }
      #expect(twice?.kind == .usage && twice?.message.contains("'3_cat tabby'") == true)
      try FileManager.default.removeItem(at: folder.appendingPathComponent("3_cat tabby"))
      try make("0_tree")
      #expect(userError { _ = try TaughtFolder.found(in: folder) }?.kind == .usage)
    }
  }

  private func settings() throws -> TrainingSettings {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<first>", vectors: 2), initializer: "toy", kind: .object, resolution: 32,
      precision: .float32)
    settings.steps = 6
    settings.batchSize = 2
    return settings
  }

  /// Two of the demo's concepts, the second ten times as often as a picture of the first: five pictures each.
  private func makeConcepts(in folder: URL) throws {
    for (concept, name) in [(DemoConcept.rocketToy, "rocket toy"), (.myCat, "10_cat cat")] {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try FileManager.default.copyItem(at: concept.folder, to: folder.appendingPathComponent(name))
    }
  }

  private func train<B: Backend>(
    on backend: B, _ concepts: URL, in url: URL
  ) throws -> (settings: TrainingSettings, concept: Concept, embeddings: [EmbeddingFile]) {
    var settings = try settings()
    settings.precision = backend.precision
    try settings.teach(TaughtFolder.found(in: concepts))
    let run = try TrainingRun(
      model: DiffusersFolder(DemoModel.model), pictures: concepts, settings: settings, folder: RunFolder(new: url),
      makeBackend: { _ in backend })
    #expect(try run.run() == .finished)
    return (run.settings, run.concept, run.embeddings)
  }

  @Test func everyPictureTeachesItsFoldersWord() throws {
    try TestBackends.float32[0].run { backend in
      try TemporaryFolder.with { folder in
        let concepts = folder.appendingPathComponent("concepts")
        try makeConcepts(in: concepts)
        let run = try train(on: backend, concepts, in: folder.appendingPathComponent("run"))
        // "10_cat cat" goes before "rocket toy".
        #expect(run.concept.words == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
        #expect(run.concept.repeats == [10, 10, 10, 10, 10, 1, 1, 1, 1, 1])
        #expect(run.concept.names.first == "10_cat cat/1.png" && Set(run.concept.names).count == 10)
        #expect(run.embeddings.map(\.word) == ["<cat>", "<rocket>"])
        let sentences = TrainingSentences(run.settings, pictures: run.concept.names, words: run.concept.words)
        for (picture, word) in run.concept.words.enumerated() {
          for turn in 0..<20 {
            let sentence = sentences.sentence(picture: picture, seed: 0, turn: turn, sample: 1)
            #expect(sentence.contains(["<cat>", "<rocket>"][word]) && !sentence.contains(["<rocket>", "<cat>"][word]))
          }
        }
        for name in ["cat.safetensors", "rocket.safetensors", "learned_embeds.safetensors"] {
          #expect(FileManager.default.fileExists(atPath: folder.appendingPathComponent("run/\(name)").path))
        }
      }
    }
  }

  /// A word is not moved by examples of another, and moves by its full angle beside them.
  @Test func wordsMoveByTheirOwnExamples() {
    let zero = HostTensor([1, 3], [0, 0, 0])
    let east = HostTensor([1, 3], [5, 0, 0])
    func moved(_ examples: [HostTensor]) -> [Float] {
      var rows = HostTensor([1, 3], [0, 0, 2])
      var state = OptimizerState()
      var gradient = RowGradient(zero)
      for example in examples { gradient.addExample(example) }
      Spherical().update(&rows, gradient: gradient, state: &state, step: 1, learningRate: 0.5)
      return rows.values
    }
    #expect(moved([zero, zero]) == [0, 0, 2])
    #expect(moved([zero, east, zero]) == moved([east]))
    // normalize((0, 0, 1) - 0.5 (1, 0, 0)), twice as long.
    let expected = [-0.5, 0, 1].map { Float(2 * $0 / 1.25.squareRoot()) }
    for (actual, expected) in zip(moved([east, zero]), expected) { #expect(abs(actual - expected) <= 1e-6) }
  }
}
