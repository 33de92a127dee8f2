"""Where charts come from: repositories, registries, directories; how they are fetched and packed."""
