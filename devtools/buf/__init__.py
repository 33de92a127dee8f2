"""The protobuf module: Buf's command lines and answers, its token, git."""
