//! Nothing is here: the programs beside this file are the examples of this package, each complete in one file.
