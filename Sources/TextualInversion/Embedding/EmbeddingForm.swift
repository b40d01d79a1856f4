import ModelFiles

/// How a file holds learned words: by whose conventions.
public enum EmbeddingForm: String, Sendable, Hashable, Codable, CaseIterable {
  /// `{word: rows}` as safetensors; of SDXL a second file, whose name ends in `_2`, has the second encoder's.
  case diffusers
  /// The same by `torch.save`.
  case diffusersPickle = "diffusers-bin"
  /// `{"string_to_param": {"*": rows}, "name": word}` by `torch.save`: AUTOMATIC1111's web UI and those like it.
  case webUI = "webui"
  /// The same inside a picture.
  case webUICard = "webui-png"
  /// `{"emb_params": rows}` as safetensors: kohya's scripts, InvokeAI's trainer.
  case kohya
  /// `{"emp_params": rows}` as safetensors: OneTrainer.
  case oneTrainer = "onetrainer"
  /// `{"clip_l": rows, "clip_g": rows}` as safetensors, with `t5xxl` where there are such rows: everybody's form for SDXL.
  case encoders = "sdxl"
  /// `bundle_emb.WORD.KEY` beside the tensors of a LoRA: read, and not written.
  case bundle

  /// Those that files can be written in.
  public static var written: [EmbeddingForm] { allCases.filter { $0 != .bundle } }

  public var fileEnding: String {
    switch self {
    case .diffusersPickle: "bin"
    case .webUI: "pt"
    case .webUICard: "png"
    default: "safetensors"
    }
  }

  /// What a person calls it.
  public var title: String {
    switch self {
    case .diffusers: "diffusers, safetensors"
    case .diffusersPickle: "diffusers, .bin"
    case .webUI: "web UI, .pt"
    case .webUICard: "web UI, a card in PNG"
    case .kohya: "kohya's scripts (emb_params)"
    case .oneTrainer: "OneTrainer (emp_params)"
    case .encoders: "one tensor for each encoder (clip_l, clip_g)"
    case .bundle: "words bundled with a LoRA"
    }
  }

  /// Whether the file names its word; else its own name does.
  public var namesWord: Bool {
    switch self {
    case .diffusers, .diffusersPickle, .webUI, .webUICard, .bundle: true
    case .kohya, .oneTrainer, .encoders: false
    }
  }

  /// Whether one file can hold several words.
  var holdsSeveralWords: Bool { self == .diffusers || self == .diffusersPickle || self == .bundle }

  /// The encoders whose rows it can hold.
  var components: [Component] {
    switch self {
    case .diffusers, .diffusersPickle: [.textEncoder, .textEncoder2]
    case .encoders, .bundle: [.textEncoder, .textEncoder2, .textEncoder3]
    case .webUI, .webUICard, .kohya, .oneTrainer: [.textEncoder]
    }
  }

  /// What files call an encoder's rows by, where that says nothing of the word.
  static let keys: [String: (component: Component, form: EmbeddingForm)] = [
    "string_to_param.*": (.textEncoder, .webUI), "*": (.textEncoder, .diffusers), "": (.textEncoder, .diffusersPickle),
    "emb_params": (.textEncoder, .kohya), "emp_params": (.textEncoder, .oneTrainer),
    "clip_l": (.textEncoder, .encoders), "clip_g": (.textEncoder2, .encoders),
    "t5": (.textEncoder3, .encoders), "t5xxl": (.textEncoder3, .encoders),
  ]

  /// Widths that are one encoder's alone: CLIP ViT-L and OpenCLIP ViT-H, OpenCLIP ViT-bigG, T5 XXL.
  static let widths: [Int: Component] = [
    768: .textEncoder, 1024: .textEncoder, 1280: .textEncoder2, 4096: .textEncoder3,
  ]
}

extension Component {
  /// What embedding files call a text encoder's rows by.
  var embeddingKey: String {
    switch self {
    case .textEncoder2: "clip_g"
    case .textEncoder3: "t5xxl"
    default: "clip_l"
    }
  }
}
