// swift-tools-version: 6.1
import PackageDescription

/// The kernels' folders: compiled into the binary by `Kernels/kernels.c`, so the package manager need not see them.
let kernelFolders = [
  "Common", "Matmul", "Convolution", "Attention", "Normalization", "Elementwise", "Embedding",
]

let package = Package(
  name: "ti-gpu",
  products: [
    .executable(name: "ti-gpu", targets: ["ti-gpu"]),
    .library(name: "TextualInversion", targets: ["TextualInversion", "CPUBackend", "OpenCLBackend", "DemoModel"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-crypto", "3.0.0"..<"5.0.0"),
    .package(url: "https://github.com/swhitty/FlyingFox", .upToNextMinor(from: "0.27.1")),
  ],
  targets: [
    // C: what the system offers, and what Swift can't say.
    .systemLibrary(
      name: "COpenCL", path: "Sources/COpenCL", pkgConfig: "OpenCL",
      providers: [.apt(["ocl-icd-opencl-dev", "opencl-headers"])]),
    .target(name: "COneDNN", linkerSettings: [.linkedLibrary("dnnl")]),
    .target(
      name: "CImageCodecs",
      linkerSettings: [.linkedLibrary("png"), .linkedLibrary("z"), .linkedLibrary("jpeg"), .linkedLibrary("webp")]),
    .target(name: "CVectorLoops"),
    .target(name: "CLIPVocabulary", exclude: ["merges.txt", "README.md"]),
    .target(name: "ReportStyle", exclude: ["report.css", "live.js"]),
    .target(name: "Kernels", path: "Kernels", exclude: kernelFolders, sources: ["kernels.c"]),

    // The layers, bottom up: each imports only what stands above it in this list.
    .target(name: "Tensors"),
    .target(name: "Operators", dependencies: ["Tensors"]),
    .target(name: "CPUBackend", dependencies: ["Operators", "COneDNN", "CVectorLoops"]),
    .target(
      name: "OpenCLBackend",
      dependencies: ["Operators", "COpenCL", "Kernels", .product(name: "Crypto", package: "swift-crypto")]),
    .target(name: "ModelFiles", dependencies: ["Tensors", .product(name: "Crypto", package: "swift-crypto")]),
    .target(name: "Images", dependencies: ["ModelFiles", "CImageCodecs"]),
    .target(name: "StableDiffusion", dependencies: ["Operators", "ModelFiles", "CLIPVocabulary"]),
    .target(
      name: "TextualInversion",
      dependencies: [
        "StableDiffusion", "Images", "ModelFiles", "ReportStyle", .product(name: "Crypto", package: "swift-crypto"),
      ]),
    .target(name: "DemoModel", resources: [.copy("Resources")]),
    .executableTarget(
      name: "ti-gpu",
      dependencies: [
        "TextualInversion", "StableDiffusion", "ModelFiles", "CPUBackend", "OpenCLBackend", "DemoModel",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "FlyingFox", package: "FlyingFox"),
      ]),

    // Tests.
    .target(
      name: "TestSupport", dependencies: ["Operators", "ModelFiles", "CPUBackend", "OpenCLBackend"],
      path: "Tests/TestSupport"),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors"]),
    .testTarget(name: "OperatorsTests", dependencies: ["TestSupport"]),
    .testTarget(name: "OpenCLBackendTests", dependencies: ["TestSupport", "TextualInversion"]),
    .testTarget(name: "ModelFilesTests", dependencies: ["ModelFiles", "TestSupport"]),
    .testTarget(name: "ImagesTests", dependencies: ["Images", "ModelFiles", "TestSupport"]),
    .testTarget(name: "StableDiffusionTests", dependencies: ["StableDiffusion", "ModelFiles", "TestSupport"]),
    .testTarget(
      name: "TextualInversionTests",
      dependencies: ["TextualInversion", "ModelFiles", "StableDiffusion", "TestSupport", "DemoModel"]),
    .testTarget(name: "CommandTests", dependencies: ["ti-gpu", "TestSupport", "ModelFiles", "Images", "DemoModel"]),
    // Built with the tests, so that they keep up; run by Tools/fuzz/run.
    .target(
      name: "FuzzTargets", dependencies: ["Tensors", "ModelFiles", "Images", "StableDiffusion", "TextualInversion"],
      path: "Tools/fuzz/Targets"),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu2x
)

// Needs the compiler's fuzzer; Tools/fuzz/run asks for it.
if Context.environment["TI_GPU_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(name: "ti-gpu-fuzz", dependencies: ["FuzzTargets"], path: "Tools/fuzz/Program"))
}
