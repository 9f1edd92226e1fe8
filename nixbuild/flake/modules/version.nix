# Which image this is: image.json says the same.
{ config, ... }:
{
  environment.etc."nixos-image-version".text = config.nixvm.version + "\n";
}
