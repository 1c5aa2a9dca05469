"""Sample: labelled requests that come with the package, with outcomes that were measured."""
