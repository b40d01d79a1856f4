import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@testable import TextualInversion

/// The files that a run leaves, under the rules by which seven other programs read theirs. Each rule is a function of this file,
/// written from that program's loader; what it returns is the rows that would stand for the word, by encoder.
@Suite struct EmbeddingReadersTests {
  typealias Rows = [String: HostTensor]

  /// A file as `safetensors.torch.load_file` gives it.
  struct Loaded {
    let stem: String
    let tensors: [(key: String, tensor: HostTensor)]
    let areFloat32: Bool

    init(_ url: URL) throws {
      let file = try SafetensorsFile(url)
      stem = url.deletingPathExtension().lastPathComponent
      tensors = try file.names.map { ($0, try file.tensor($0)) }
      areFloat32 = file.names.allSatisfy { file.typeName(of: $0) == "F32" }
    }

    subscript(_ key: String) -> HostTensor? { tensors.first { $0.key == key }?.tensor }
  }

  /// The widths of a model's text encoders, by the keys that ComfyUI has for them.
  struct Model: CustomTestStringConvertible {
    let name: String
    let widths: [String: Int]
    var testDescription: String { name }

    static let all = [
      Model(name: "SD1", widths: ["clip_l": 768]), Model(name: "SD2", widths: ["clip_h": 1024]),
      Model(name: "SDXL", widths: ["clip_l": 768, "clip_g": 1280]),
    ]
    var isSDXL: Bool { widths.count == 2 }
  }

  /// `load_textual_inversion`: one key, which is the word. For SDXL the caller asks once for each encoder.
  private func diffusers(_ run: URL, _ word: String, _ model: Model) throws -> Rows? {
    let files = ["learned_embeds.safetensors"] + (model.isSDXL ? ["learned_embeds_2.safetensors"] : [])
    var rows: Rows = [:]
    for (name, (key, width)) in zip(files, model.widths.sorted { $0.value < $1.value }) {
      let file = try Loaded(run.appendingPathComponent(name))
      guard file.tensors.count == 1, let (token, tensor) = file.tensors.first.map({ ($0.key, $0.tensor) }),
        token == word,
        tensor.shape.channels == width
      else { return nil }
      rows[key] = tensor
    }
    return rows
  }

  /// `create_embedding_from_data` of AUTOMATIC1111's web UI and Forge; the word is the file's stem.
  private func webUI(_ file: Loaded, _ model: Model) -> Rows? {
    if let g = file["clip_g"], let l = file["clip_l"] {
      return model.isSDXL && g.shape.channels + l.shape.channels == 2048 ? ["clip_l": l, "clip_g": g] : nil
    }
    guard file.tensors.count == 1, let tensor = file.tensors.first?.tensor, !model.isSDXL,
      tensor.shape.channels == model.widths.values.first
    else { return nil }
    return [model.widths.keys.first ?? "": tensor]
  }

  /// ComfyUI's `load_embed`, once for each encoder: its key, else the first value; of another width it is left out.
  private func comfy(_ file: Loaded, _ model: Model) -> Rows? {
    var rows: Rows = [:]
    for (key, width) in model.widths {
      guard let tensor = file[key] ?? file.tensors.first?.tensor, tensor.shape.rank == 2, tensor.shape.channels == width
      else { return nil }
      rows[key] = tensor
    }
    return rows
  }

  /// InvokeAI's probe and loader: `emb_params` by its last axis, `clip_g` and `clip_l`; of any other key the first axis is
  /// taken for the width.
  private func invoke(_ file: Loaded, _ model: Model) -> Rows? {
    if let l = file["clip_l"], let g = file["clip_g"] {
      return model.isSDXL && l.shape.channels == 768 && g.shape.channels == 1280 ? ["clip_l": l, "clip_g": g] : nil
    }
    guard !model.isSDXL, let (key, width) = model.widths.first else { return nil }
    if let tensor = file["emb_params"] { return tensor.shape.channels == width ? [key: tensor] : nil }
    guard let tensor = file.tensors.first?.tensor, tensor.shape[0] == width else { return nil }
    return [key: tensor]
  }

  /// SD.Next: every tensor goes where its width fits.
  private func next(_ file: Loaded, _ model: Model) -> Rows? {
    var rows: Rows = [:]
    for (key, width) in model.widths { rows[key] = file.tensors.first { $0.tensor.shape.channels == width }?.tensor }
    return rows.count == model.widths.count ? rows : nil
  }

  /// stable-diffusion.cpp: any names, by width, the bytes copied as they are into a table of 32-bit floats. Of SDXL both go into
  /// one buffer there, which no file can help.
  private func cpp(_ file: Loaded, _ model: Model) -> Rows? {
    guard file.areFloat32, !model.isSDXL, let (key, width) = model.widths.first else { return nil }
    return file.tensors.first { $0.tensor.shape.channels == width }.map { [key: $0.tensor] }
  }

  /// OneTrainer, to go on training: `emp_params`, or one key for each encoder.
  private func oneTrainer(_ file: Loaded, _ model: Model) -> Rows? {
    if !model.isSDXL { return file["emp_params"].map { [model.widths.keys.first ?? "": $0] } }
    guard let l = file["clip_l"], let g = file["clip_g"] else { return nil }
    return ["clip_l": l, "clip_g": g]
  }

  @Test(arguments: Model.all, [1, 4]) func sevenReadersTakeWhatARunLeaves(_ model: Model, _ vectors: Int) throws {
    try TemporaryFolder.with { folder in
      var rows: Rows = [:]
      for (key, width) in model.widths {
        rows[key] = HostTensor([vectors, width], Philox(seed: 8, stream: UInt32(width)).normals(vectors * width))
      }
      let word = EmbeddingFile(
        word: "<my-cat>",
        rows: Dictionary(
          uniqueKeysWithValues: rows.map { ($0.key == "clip_g" ? Component.textEncoder2 : .textEncoder, $0.value) }))
      let run = try RunFolder(new: folder.appendingPathComponent("run"))
      try run.take()
      try run.write([word]) { _ in [:] }
      let file = try Loaded(run.sharedEmbedding(of: word.word))
      #expect(file.stem == "my-cat")
      #expect(try diffusers(run.url, word.word, model) == rows)
      #expect(webUI(file, model) == rows && comfy(file, model) == rows)
      #expect(invoke(file, model) == rows && next(file, model) == rows)
      #expect(model.isSDXL || cpp(file, model) == rows)
      // Of SD1 and SD2 OneTrainer asks for a key of its own, which a file of one tensor can't have beside InvokeAI's.
      let converted = folder.appendingPathComponent("my-cat.safetensors")
      _ = try (model.isSDXL ? EmbeddingForm.encoders : .oneTrainer).write(
        EmbeddingContents(run.sharedEmbedding(of: word.word)).words, to: converted)
      #expect(try oneTrainer(Loaded(converted), model) == rows)
      #expect(!model.isSDXL || oneTrainer(file, model) == rows)
    }
  }

  /// A word may have rows for one encoder alone: those of the first are `emb_params`, whichever model it was.
  @Test(arguments: [(Component.textEncoder, "emb_params", 0), (.textEncoder2, "clip_g", 1)])
  func rowsOfOneEncoderAreNamed(_ component: Component, _ key: String, _ place: Int) throws {
    try TemporaryFolder.with { folder in
      let rows = HostTensor(repeating: 1, [2, component == .textEncoder ? 768 : 1280])
      let run = try RunFolder(new: folder.appendingPathComponent("run"))
      try run.take()
      try run.write([EmbeddingFile(word: "<a>", rows: [component: rows])]) { _ in [:] }
      let names = ["learned_embeds.safetensors", "learned_embeds_2.safetensors"]
      let there = names.map { run.url.appendingPathComponent($0).isThere }
      #expect(there == [place == 0, place == 1])
      #expect(try Loaded(run.url.appendingPathComponent(names[place]))["<a>"] == rows)
      #expect(try Loaded(run.sharedEmbedding(of: "<a>")).tensors.map(\.key) == [key])
      let words = try EmbeddingFile.read(run.sharedEmbedding(of: "<a>"))
      #expect(words.map(\.rows) == [[component: rows]])
    }
  }

  /// The rules can fail: diffusers' own file is refused by InvokeAI, and one of 16-bit floats is misread by stable-diffusion.cpp.
  @Test func readersRefuse() throws {
    try TemporaryFolder.with { folder in
      let rows = HostTensor(repeating: 1, [2, 768])
      let url = folder.appendingPathComponent("a.safetensors")
      try Safetensors.write([("<a>", rows)], to: url)
      #expect(try invoke(Loaded(url), Model.all[0]) == nil && comfy(Loaded(url), Model.all[0]) != nil)
      try Safetensors.write([("emb_params", rows)], type: .float16, to: url)
      #expect(try cpp(Loaded(url), Model.all[0]) == nil && webUI(Loaded(url), Model.all[1]) == nil)
    }
  }

  /// A file to be given away says what it was made from, and no path and no picture's name.
  @Test func theFileSaysWhereItIsFrom() throws {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<my-cat>", vectors: 1), initializer: "cat", kind: .object, resolution: 512,
      precision: .float32)
    settings.steps = 7
    let word = EmbeddingFile(word: "<my-cat>", rows: [.textEncoder: HostTensor(repeating: 1, [1, 768])])
    let one = Fingerprint(model: ["model": "0123456789abcdef"], pictures: ["anna.jpg": "aa", "ben.jpg": "bb"])
    func metadata(_ fingerprint: Fingerprint) -> [String: String] {
      Provenance(
        settings: settings, optimizer: "spherical", steps: 7, fingerprint: fingerprint, model: "v1-5",
        predictsVelocity: false
      ).metadata(of: word)
    }
    let said = metadata(one)
    #expect(said["modelspec.architecture"] == "stable-diffusion-v1/textual-inversion")
    #expect(said["modelspec.trigger_phrase"] == "<my-cat>" && said["modelspec.title"] == "my-cat")
    #expect(said["modelspec.resolution"] == "512x512" && said["modelspec.prediction_type"] == "epsilon")
    #expect(said["sd_checkpoint"] == "0123456789" && said["step"] == "7" && said["sd_checkpoint_name"] == "v1-5")
    #expect(!said.values.contains { $0.contains("anna") || $0.contains("ben.jpg") })
    // The same pictures under other names are the same data; others are not.
    let renamed = metadata(Fingerprint(model: one.model, pictures: ["1.jpg": "bb", "2.jpg": "aa"]))
    #expect(renamed["ti-gpu.data_sha256"] == said["ti-gpu.data_sha256"])
    let other = metadata(Fingerprint(model: ["unet/a": "1", "vae/b": "2"], pictures: ["1.jpg": "bb", "2.jpg": "cc"]))
    #expect(other["ti-gpu.data_sha256"] != said["ti-gpu.data_sha256"] && other["sd_checkpoint"] == nil)
    try TemporaryFolder.with { folder in
      let run = try RunFolder(new: folder.appendingPathComponent("run"))
      try run.take()
      try run.write([word]) { _ in said }
      let file = try SafetensorsFile(run.sharedEmbedding(of: word.word))
      // shasum -a 256 over 768 times the float 1.
      let ones = Data((0..<768).flatMap { _ in [0, 0, 0x80, 0x3F] as [UInt8] })
      #expect(file.metadata["modelspec.hash_sha256"] == "0x" + FileHash.sha256(ones))
      #expect(file.metadata["ti-gpu.settings"]?.contains(#""initializer":"cat""#) == true)
      #expect(file.metadata["format"] == "pt")
    }
  }

  @Test(arguments: [
    ("<my-cat>", "my-cat"), ("a/b:c*d", "a_b_c_d"), ("<>", "word-"), ("..", "word-"),
    ("<learned_embeds_2>", "word-learned_embeds_2"),
    ("<häuser>", "häuser"), (String(repeating: "ä", count: 300), String(repeating: "ä", count: 100)),
  ])
  func wordsNameFiles(_ word: String, _ name: String) { #expect(EmbeddingFile(word: word, rows: [:]).fileStem == name) }
}
