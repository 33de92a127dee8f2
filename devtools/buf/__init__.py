"""The protobuf module: Buf's command lines and output, its token, git."""
