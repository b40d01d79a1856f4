import Operators

/// Every family is there, so models run on it.
extension OpenCLBackend: Backend {}
